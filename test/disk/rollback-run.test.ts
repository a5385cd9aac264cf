/** The disk process carries out what rollback.json says, and stops where the daemon says something else. */
import fs from 'node:fs';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {BLOCK_BYTES} from '../../src/core/limits.js';
import {writeJsonFile} from '../../src/core/json-file.js';
import {takeCommand} from '../../src/disk/commands.js';
import {COMMAND, WORD} from '../../src/disk/shared.js';
import {RollbackRig} from './rollback-rig.js';

interface State {
  rig: RollbackRig;
  /** What the disk was, and where. */
  then: {readonly content: Buffer; readonly position: number; readonly base: number};
  before: Buffer;
}

const test = suite<State>('a rollback in its process');

/** The image has a part of what the disk was then; the log has the rest, and what was written since. */
test.before.each((state) => {
  const rig = new RollbackRig();
  state.rig = rig;
  rig.begin();
  for (let block = 0; block < 64; block += 8) rig.write(block * BLOCK_BYTES, 8 * BLOCK_BYTES);
  rig.replay();
  const base = rig.life.shared.replayed.get();
  assert.ok(base > 0, 'the image is not empty then');
  rig.write(8 * BLOCK_BYTES, 16 * BLOCK_BYTES);
  state.then = {content: Buffer.from(rig.model), position: rig.position, base};
  rig.write(0, 12 * BLOCK_BYTES);
  rig.write(100 * BLOCK_BYTES, 8 * BLOCK_BYTES);
  state.before = Buffer.from(rig.model);
});
test.after.each(({rig}) => {
  rig.dispose();
});

function fault({rig}: State): string {
  return rig.history.rollback.status()?.fault ?? '';
}

test('replay waits at the moment, also in a life that only follows, and the next one ends it', async (state) => {
  const {rig, then} = state;
  await rig.ask(then.position);
  for (const mode of ['follow', 'serve'] as const) {
    rig.begin(mode);
    rig.replay();
    assert.is(rig.life.shared.replayed.get(), then.position, mode);
    assert.ok(rig.life.shared.retainFrom <= then.base, 'the log is kept from there on');
    assert.is(rig.isClosed, mode === 'serve');
  }

  await rig.until(() => rig.file === undefined, 'the end');
  rig.assertReads(then.content);
  assert.not(rig.isClosed);
  assert.equal(
    rig.events.map(({code}) => code),
    ['ROLLBACK_DONE'],
  );
  // What was held is free.
  rig.replay();
  assert.is(rig.life.shared.replayed.get(), rig.position);
  assert.ok(fs.readFileSync(rig.paths.image).equals(then.content));
});

test('an image that is newer than the moment is found out, and the disk stays closed', async (state) => {
  const {rig, then, before} = state;
  await rig.ask(then.position);
  // As a process that knows of no rollback.
  rig.replay();
  assert.ok(rig.life.shared.replayTo.get() > then.position);
  rig.begin();
  await rig.until(() => fault(state) !== '', 'a fault');
  assert.match(fault(state), /HISTORY_GONE/u);
  assert.ok(rig.isClosed && rig.file !== undefined);
  assert.equal(rig.events, []);
  const [message] = rig.notices.list();
  assert.match(message?.text ?? '', '--abort goes back to what it was before');
  rig.assertReads(before);
});

test('the way back is refused where the image is beyond that, with what opens the disk', async (state) => {
  const {rig, then} = state;
  await rig.ask(then.position, {from: null});
  rig.replay();
  rig.begin();
  await rig.until(() => fault(state) !== '', 'a fault');
  assert.match(rig.notices.list()[0]?.text ?? '', '--abort --force opens it as it is');
});

test('one that is turned back during its last mark goes back: nothing is said to be done', async (state) => {
  const {rig, then, before} = state;
  const file = await rig.ask(then.position);
  const back = await rig.ask(rig.position, {from: null, asked: 'before'});
  writeJsonFile(rig.paths.rollbackFile, file);
  rig.onCommand = (command) => {
    if (command !== COMMAND.mark || rig.file?.asked !== file.asked) return undefined;
    writeJsonFile(rig.paths.rollbackFile, back);
    return undefined;
  };
  await rig.history.reload();
  await rig.until(() => rig.file?.asked === 'before', 'the last mark');
  await rig.until(() => rig.file === undefined, 'the way back');
  rig.assertReads(before);
  assert.equal(
    rig.events.map(({details}) => details?.['position']),
    [back.position],
  );
});

test('the way back begins behind what the front still does of the way there', async (state) => {
  const {rig, then, before} = state;
  await rig.ask(then.position);
  const {shared, front} = rig.life;
  rig.onWake = () => {
    if (takeCommand(shared) === COMMAND.revert) rig.clock.advance(60_000);
    return true;
  };
  await rig.history.reload();
  await rig.until(() => fault(state).startsWith('TIMEOUT'), 'the command to be given up');
  rig.onWake = undefined;
  await rig.ask(rig.position, {from: null, asked: 'before'});
  await rig.history.reload();
  // It reads the log, or waits.
  await new Promise((resolve) => setTimeout(resolve, 100));
  shared.set(WORD.command, COMMAND.revert);
  front.afterRequest();
  await rig.until(() => rig.file === undefined, 'the way back');
  rig.assertReads(before);
});

test('one whose file is gone unheard ends by itself, and opens the disk', async (state) => {
  const {rig, then} = state;
  for (const at of [COMMAND.revert, COMMAND.mark]) {
    await rig.ask(then.position);
    rig.onCommand = (command) => {
      if (command === at) fs.rmSync(rig.paths.rollbackFile, {force: true});
      return undefined;
    };
    await rig.history.reload();
    assert.ok(rig.isClosed);
    await rig.until(() => !rig.isClosed, 'the disk to be open');
    assert.is(rig.history.rollback.status(), null);
    assert.is(rig.life.shared.replayHold, Infinity);
  }
});

test('who has it rest waits until nothing is under way; it goes on where something new is asked', async (state) => {
  const {rig, then, before} = state;
  await rig.ask(then.position);
  await rig.history.reload();
  await rig.history.rollback.rest();
  rig.history.rollback.look();
  await rig.history.rollback.rest();
  rig.assertReads(before);
  assert.ok(rig.file !== undefined);
  await rig.ask(then.position, {asked: 'once more'});
  await rig.history.reload();
  await rig.until(() => rig.file === undefined, 'the end');
  rig.assertReads(then.content);
});

test('what a front that has requests waiting refuses is not counted as written', async (state) => {
  const {rig, then} = state;
  await rig.ask(then.position);
  let refusals = 3;
  rig.onCommand = (command) => {
    if (command !== COMMAND.revert || refusals === 0) return undefined;
    refusals -= 1;
    rig.life.shared.commandArgument.set(100 * BLOCK_BYTES);
    return false;
  };
  await rig.history.reload();
  await rig.until(() => rig.file === undefined, 'the end');
  assert.is(rig.events[0]?.details?.['changedBytes'], 20 * BLOCK_BYTES);
});

test.run();
