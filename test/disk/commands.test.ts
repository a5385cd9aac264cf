/** Commands to the front: what is given up is not done later, and is not taken for the next one. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {answerCommand, Commands, takeCommand} from '../../src/disk/commands.js';
import {COMMAND, Shared, SHARED_BYTES, WORD} from '../../src/disk/shared.js';

/** A front that does what a test tells it when it is looked at. */
class Front {
  readonly shared = new Shared(new SharedArrayBuffer(SHARED_BYTES));
  nowMs = 0;
  /** How far the clock goes with each look. */
  stepMs = 0;
  act: () => void = () => undefined;
  readonly commands = new Commands({
    shared: this.shared,
    clock: {wallMs: () => 0, monotonicMs: () => (this.nowMs += this.stepMs)},
    wake: () => {
      this.act();
    },
  });

  /** Takes what there is and answers it. */
  readonly serve = (): void => {
    const command = takeCommand(this.shared);
    if (command === COMMAND.none) return;
    answerCommand(this.shared, command === COMMAND.rotate);
  };
}

const isTimeout = (error: unknown): boolean => isDiskError(error, 'TIMEOUT');

async function timesOut(promise: Promise<unknown>): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  assert.ok(isTimeout(error), String(error));
}

test('each is answered by itself, in turn', async () => {
  const front = new Front();
  front.act = front.serve;
  const [rotated, resized] = await Promise.all([
    front.commands.run(COMMAND.rotate),
    front.commands.run(COMMAND.resize, 4096),
  ]);
  assert.is(rotated, true);
  assert.is(resized, false);
  assert.is(front.shared.commandArgument.get(), 4096);
});

test('what was not taken in time is never done, and the next one is handed out', async () => {
  const front = new Front();
  front.stepMs = 5000;
  await timesOut(front.commands.run(COMMAND.mark));
  assert.is(front.shared.get(WORD.command), COMMAND.none);
  assert.not.ok(front.commands.isOwed);
  front.stepMs = 0;
  front.act = front.serve;
  assert.is(await front.commands.run(COMMAND.rotate), true);
});

test('what was taken and is not answered in time keeps all others away, and its answer is not theirs', async () => {
  const front = new Front();
  front.stepMs = 5000;
  let taken = 0;
  front.act = () => {
    taken ||= takeCommand(front.shared);
  };
  await timesOut(front.commands.run(COMMAND.revert, 8192));
  assert.is(taken, COMMAND.revert);
  assert.ok(front.commands.isOwed);
  await timesOut(front.commands.run(COMMAND.rotate, 1));
  assert.is(front.shared.get(WORD.command), COMMAND.none, 'not even handed out');
  assert.is(front.shared.commandArgument.get(), 8192, 'what it works with is as it was');

  front.stepMs = 0;
  front.act = front.serve;
  const next = front.commands.run(COMMAND.resize, 4096);
  answerCommand(front.shared, true);
  assert.is(await next, false, 'by its own answer');
  assert.not.ok(front.commands.isOwed);
});

test.run();
