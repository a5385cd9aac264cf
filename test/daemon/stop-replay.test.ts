/** The end of a disk process that is asked to end while it is only starting. */
import {spawn, type ChildProcess} from 'node:child_process';
import fs from 'node:fs';
import {dirname} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {resourcePaths} from '../../src/core/home.js';
import {isDiskError} from '../../src/core/errors.js';
import {stopReplay} from '../../src/daemon/activate.js';
import type {Places} from '../../src/daemon/places.js';
import {standIn, type StandIn} from './crash/stand-in.js';
import {makeHome, removeHome, until} from './fake-node.js';
import {disk} from './replication/samples.js';

interface State {
  home: string;
  places: Places;
  holder: ChildProcess;
  ended: Promise<unknown>;
  process: StandIn | undefined;
}

const test = suite<State>('stop of a follower');
const NAME = 'web01';

test.before.each(async (state) => {
  state.home = makeHome('mars-stop-');
  const paths = resourcePaths(state.home, NAME);
  state.places = {paths, mountPoint: '', image: '', link: ''};
  state.process = undefined;
  for (const path of [paths.lock, paths.socket]) fs.mkdirSync(dirname(path), {recursive: true});
  // It says when it has the lock, and goes when its input ends.
  state.holder = spawn('flock', [paths.lock, 'sh', '-c', 'echo held; read -r line'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  state.ended = new Promise((resolve) => state.holder.once('exit', resolve));
  let isHeld = false;
  state.holder.stdout?.once('data', () => {
    isHeld = true;
  });
  await until(() => isHeld, 'the lock to be held');
});
test.after.each(async ({home, holder, ended, process}) => {
  holder.stdin?.end();
  await ended;
  await process?.close();
  removeHome(home);
});

test('one that does not listen yet is told when it does, and not waited for in vain', async (state) => {
  const {places, holder} = state;
  const stopping = stopReplay(places, NAME, performance.now() + 30_000);
  let isOver = false;
  const over = stopping.finally(() => {
    isOver = true;
  });
  // The first question finds nobody.
  await new Promise((resolve) => setImmediate(resolve));
  assert.not.ok(isOver);
  state.process = await standIn(
    places.paths.socket,
    () => disk(),
    (path) => {
      if (path === '/stop') holder.stdin?.end();
    },
  );
  await over;
});

test('one that never answers is named when the time is over', async ({places}) => {
  try {
    await stopReplay(places, NAME, performance.now() + 300);
    assert.unreachable('it ended');
  } catch (error) {
    assert.ok(isDiskError(error, 'TIMEOUT'), String(error));
    assert.match(error.message, /the disk process of web01 does not answer: mars status web01/u);
  }
});

test.run();
