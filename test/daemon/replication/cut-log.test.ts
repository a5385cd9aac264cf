/** A damaged log that nobody has the good copy of: what is lost, what is left, and the way back. */
import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {CutRequest, CutResult} from '../../../src/control/cut-api.js';
import {isDiskError, type DiskError} from '../../../src/core/errors.js';
import {BLOCK_BYTES} from '../../../src/core/limits.js';
import {formatPosition} from '../../../src/core/position.js';
import {cutLog} from '../../../src/daemon/replication/cut-log.js';
import {undoCut} from '../../../src/daemon/replication/cut-undo.js';
import {keepCut, listCuts, noteCutDone} from '../../../src/daemon/replication/kept-cut.js';
import {readChanges} from '../../../src/log/changes.js';
import {SEGMENT_HEADER_BYTES} from '../../../src/log/segment.js';
import {createNodeFiles} from '../../../src/core/files.js';
import {CrashNode} from '../crash/crash-rig.js';
import {diskOf} from './fork-world.js';

interface State {
  alpha: CrashNode;
  beta: CrashNode;
  /** Disk and position before each write, and behind the last one. */
  moments: {readonly position: number; readonly disk: Buffer}[];
}

const test = suite<State>('log cut');
const RECORD_BYTES = 128 + BLOCK_BYTES;
const LOOK: CutRequest = {dryRun: true, confirmed: false, force: false};
const YES: CutRequest = {dryRun: false, confirmed: true, force: false};
const UNDO = {dryRun: false, confirmed: true};

/** Nine writes in three logfiles, the last two of them in another epoch. */
test.before.each((state) => {
  const alpha = new CrashNode('alpha');
  const moments: State['moments'] = [];
  const note = (): void => {
    moments.push({position: alpha.position, disk: Buffer.from(alpha.model)});
  };

  alpha.begin(1, {position: 0, chain: {low: 0, high: 0}});
  for (const stamp of [1, 2, 3, 4, 5, 6, 7, 8, 9]) {
    if (stamp === 4) alpha.rotate();
    if (stamp === 7) alpha.begin(2, alpha.common);
    note();
    alpha.write(stamp);
  }

  note();
  alpha.stopWriting();
  Object.assign(state, {alpha, beta: new CrashNode('beta'), moments});
});
test.after.each(({alpha, beta}) => {
  alpha.dispose();
  beta.dispose();
});

function cut({alpha}: State, request: Partial<CutRequest> = {}): Promise<CutResult> {
  return cutLog(alpha.context, alpha.resource, {...YES, ...request});
}

async function failureOf(work: Promise<unknown>): Promise<DiskError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(isDiskError(error), String(error));
  return error;
}

function at({moments}: State, index: number): State['moments'][number] {
  const moment = moments[index];
  assert.ok(moment);
  return moment;
}

function logOf({paths}: CrashNode): string[] {
  return fs
    .readdirSync(paths.logDirectory)
    .filter((name) => name.startsWith('log-'))
    .map((name) => `${name} ${fs.readFileSync(join(paths.logDirectory, name)).toString('base64')}`);
}

/** The disk starts, and is the one of a moment; what is written then is there as well. */
async function startsAs(state: State, index: number): Promise<void> {
  const {alpha} = state;
  const {position, disk} = at(state, index);
  alpha.activate();
  assert.is(alpha.lineage.at(-1)?.start, formatPosition(position), 'an epoch begins there');
  assert.ok((await diskOf(alpha)).equals(disk), 'the disk of that moment');
}

for (const index of [1, 4, 8]) {
  test(`damage in record ${index + 1} of nine: the dry run says what the cut loses, and the disk is the one before it`, async (state) => {
    const {alpha} = state;
    const before = logOf(alpha);
    alpha.damage(at(state, index).position);
    const damaged = logOf(alpha);
    assert.throws(() => {
      alpha.activate();
    }, /the log is damaged at position/u);
    const said = await cut(state, LOOK);
    assert.equal(logOf(alpha), damaged, 'a dry run changes nothing');
    assert.is(said.position, formatPosition(at(state, index).position));
    assert.is(said.end, formatPosition(at(state, 9).position));
    const lost = 9 - index;
    assert.is(said.lost.bytes, lost * RECORD_BYTES);
    assert.is(said.lost.records, lost, 'the header of the damaged one can be read');
    assert.is(said.lost.changedBytes, lost * BLOCK_BYTES);
    assert.is(said.lost.unreadableBytes, 0);
    assert.ok(said.lost.firstTime !== null && said.lost.lastTime !== null);
    assert.not(said.mixed);
    const done = await cut(state, {at: said.position ?? ''});
    assert.equal({...done, kept: null, dryRun: true}, said);
    assert.equal(alpha.told, ['LOG_CUT']);
    assert.not.equal(before, logOf(alpha));
    await startsAs(state, index);
  });
}

test('what the lost records were about is told in bytes of the disk', async (state) => {
  const {alpha} = state;
  const {segments} = alpha;
  const changes = await readChanges(createNodeFiles(), segments, at(state, 7).position);
  alpha.damage(at(state, 7).position);
  const {lost} = await cut(state, LOOK);
  assert.equal(
    lost.ranges,
    changes.ranges.map(([start, end]) => ({offset: start, length: end - start})),
  );
  assert.is(lost.ranges.length, 2);
});

test('a log in order is not cut, and a torn tail is none', async (state) => {
  const {alpha} = state;
  const before = logOf(alpha);
  assert.not((await cut(state)).damaged);
  fs.rmSync(alpha.paths.durableFile);
  alpha.damage(at(state, 8).position);
  assert.not((await cut(state)).damaged, 'nothing proves that the last one was durable');
  alpha.damage(at(state, 8).position);
  assert.equal(logOf(alpha), before);
});

test('undo: every byte of the log is as before, and so is the refusal to start', async (state) => {
  const {alpha} = state;
  alpha.damage(at(state, 4).position);
  const damaged = logOf(alpha);
  const {lineage} = alpha;
  await cut(state);
  await undoCut(alpha.context, alpha.resource, UNDO);
  assert.equal(logOf(alpha), damaged);
  assert.equal(alpha.lineage, lineage);
  assert.equal(listCuts(alpha.paths), []);
  assert.throws(() => {
    alpha.activate();
  }, /the log is damaged/u);
  alpha.damage(at(state, 4).position);
  await startsAs(state, 9);
});

test('what is cut at the same place again later is kept beside; a cut that was not done is not', ({
  alpha,
}) => {
  const {paths} = alpha;
  const [first] = alpha.segments;
  assert.ok(first);
  const file = {
    ...{schema: 1 as const, position: formatPosition(0), end: formatPosition(RECORD_BYTES)},
    ...{epoch: null, cutAt: '2026-11-28T10:00:00.000Z'},
  };
  const keptBytes = (): Buffer[] =>
    listCuts(paths).map(({directory}) => fs.readFileSync(join(directory, first.name)));
  const before = fs.readFileSync(first.path);
  keepCut(paths, [first.path], file);
  fs.writeFileSync(first.path, 'half cut');
  const again = keepCut(paths, [first.path], file);
  assert.equal(keptBytes(), [before], 'what the log was before anything was cut');
  noteCutDone(again);
  fs.writeFileSync(first.path, 'written since, under the same name');
  keepCut(paths, [first.path], {...file, cutAt: '2026-11-28T11:00:00.000Z'});
  assert.equal(keptBytes(), [before, Buffer.from('written since, under the same name')]);
});

test('undo is refused once the disk was served: what was written since would be lost', async (state) => {
  const {alpha} = state;
  alpha.damage(at(state, 4).position);
  await cut(state);
  alpha.activate();
  const before = logOf(alpha);
  const refused = await failureOf(undoCut(alpha.context, alpha.resource, UNDO));
  assert.is(refused.code, 'CUT_REFUSED');
  assert.equal(logOf(alpha), before);
  assert.is(listCuts(alpha.paths).length, 1, 'it is still kept');
});

test('damage in front of what replay needs loses nothing: the log begins behind it', async (state) => {
  const {alpha} = state;
  await alpha.replay(at(state, 2).position);
  alpha.damage(at(state, 1).position);
  const said = await cut(state, LOOK);
  assert.is(said.begin, formatPosition(at(state, 2).position));
  assert.is(said.position, said.end);
  assert.is(said.lost.records, 0);
  assert.not(said.anew);
  await cut(state);
  await startsAs(state, 9);
});

test('damage on both sides of what replay has: the front goes, and the end from the second one on', async (state) => {
  const {alpha} = state;
  await alpha.replay(at(state, 2).position);
  alpha.damage(at(state, 0).position);
  alpha.damage(at(state, 7).position);
  const {begin, position, lost} = await cut(state);
  assert.is(begin, formatPosition(at(state, 2).position));
  assert.is(position, formatPosition(at(state, 7).position));
  assert.is(lost.records, 2);
  await startsAs(state, 7);
});

test('the logfile that replay needs is gone: the log begins anew, without a history', async (state) => {
  const {alpha} = state;
  const {position, disk} = at(state, 5);
  await alpha.replay(position);
  fs.rmSync(alpha.segments[1]?.path ?? '');
  fs.rmSync(alpha.segments[0]?.path ?? '');
  const before = new Set(alpha.lineage.map(({epoch}) => epoch));
  const said = await cut(state, LOOK);
  assert.ok(said.anew);
  assert.is(said.position, formatPosition(position));
  await cut(state);
  alpha.activate();
  assert.not(
    alpha.lineage.some(({epoch}) => before.has(epoch)),
    'no replica takes it for its own',
  );
  assert.ok((await diskOf(alpha)).equals(disk));
});

test('replay broke off in what is damaged: refused without --force, as the image is no state then', async (state) => {
  const {alpha} = state;
  const {position} = at(state, 5);
  await alpha.replay(at(state, 2).position);
  alpha.rested(at(state, 8).position, at(state, 2).position);
  alpha.damage(position);
  const before = logOf(alpha);
  assert.ok((await cut(state, LOOK)).mixed);
  assert.is((await failureOf(cut(state))).code, 'CUT_MIXED');
  assert.equal(logOf(alpha), before);
  await cut(state, {force: true});
  assert.equal(alpha.replayed().to, position);
  await startsAs(state, 5);
});

test('a header that rots takes its logfile with it, and those behind', async (state) => {
  const {alpha} = state;
  const {path} = alpha.segments[1] ?? {path: ''};
  const fd = fs.openSync(path, 'r+');
  fs.writeSync(fd, Buffer.alloc(64, 255), 0, 64, 16);
  fs.closeSync(fd);
  const {position, lost, files} = await cut(state);
  assert.is(position, formatPosition(at(state, 3).position));
  assert.is(lost.records, 6);
  assert.ok(lost.unreadableBytes > 0, 'of a file without a header not all can be told');
  assert.is(files.length, 3);
  await startsAs(state, 3);
});

test('refused where a replica has more of the log, whether it answers or not', async (state) => {
  const {alpha, beta} = state;
  beta.receive(alpha);
  alpha.others = [beta];
  alpha.damage(at(state, 4).position);
  const before = logOf(alpha);
  const refused = await failureOf(cut(state));
  assert.is(refused.code, 'CUT_REFUSED');
  assert.match(refused.message, /beta has a replica/u);
  assert.match(refused.message, /mars primary web01 takes the good copy from there/u);
  assert.equal(logOf(alpha), before);
  if (alpha.context.roles !== undefined) {
    const replicas = () => [{...beta.asReplica(), linkUp: false}];
    alpha.context.roles = {...alpha.context.roles, replicas};
  }

  assert.match((await failureOf(cut(state))).message, /mars peer remove beta --force/u);
});

test('a replica that has less follows from its own end on', async (state) => {
  const {alpha, beta} = state;
  beta.receive(alpha);
  alpha.damage(at(state, 2).position);
  beta.damage(at(state, 1).position);
  for (const {path} of beta.segments.slice(1)) fs.rmSync(path);
  const last = beta.segments[0];
  const fd = fs.openSync(last?.path ?? '', 'r+');
  fs.ftruncateSync(fd, SEGMENT_HEADER_BYTES + RECORD_BYTES);
  fs.closeSync(fd);
  fs.rmSync(beta.paths.durableFile, {force: true});
  const entries = alpha.lineage.slice(0, 1);
  fs.writeFileSync(beta.paths.lineageFile, JSON.stringify({schema: 1, entries}));
  alpha.others = [beta];
  await cut(state);
  alpha.activate();
  alpha.model = Buffer.from(at(state, 2).disk);
  await alpha.replay(at(state, 2).position);
  await beta.follow(alpha);
  assert.ok(beta.image().equals(at(state, 2).disk));
});

test('a place that is not where it is damaged, and no --yes: refused, nothing is changed', async (state) => {
  const {alpha} = state;
  alpha.damage(at(state, 4).position);
  const before = logOf(alpha);
  const elsewhere = await failureOf(cut(state, {at: formatPosition(at(state, 3).position)}));
  assert.is(elsewhere.code, 'CUT_REFUSED');
  assert.match(elsewhere.message, formatPosition(at(state, 4).position));
  assert.is((await failureOf(cut(state, {confirmed: false}))).code, 'CONFIRM_NEEDED');
  assert.equal(logOf(alpha), before);
  assert.equal(listCuts(alpha.paths), []);
});

test.run();
