/**
 * Hazard 13: the loser of a fork is killed at every step of its repair, and its winner may be gone at
 * any of them. What is on its disk then is one of two: the old branch, or the history of the winner;
 * and what it takes to have it lies on that disk.
 */
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../../src/core/errors.js';
import {createNodeFiles, type Files} from '../../../src/core/files.js';
import {resourcePaths} from '../../../src/core/home.js';
import {BLOCK_BYTES} from '../../../src/core/limits.js';
import {systemClock} from '../../../src/core/clock.js';
import {beginCopy} from '../../../src/daemon/replication/begin-copy.js';
import {planRepair} from '../../../src/daemon/replication/fork-repair.js';
import {undoFork} from '../../../src/daemon/replication/fork-undo.js';
import {activate} from '../../../src/disk/activation.js';
import {readDiskConfig} from '../../../src/disk/config.js';
import {Follower} from '../../../src/disk/follower.js';
import {readNextState, repairInPlace, writeNextState} from '../../../src/disk/next-state.js';
import {Notices} from '../../../src/disk/notices.js';
import {Shared, SHARED_BYTES} from '../../../src/disk/shared.js';
import {emptySyncState, readSyncState, writeSyncState} from '../../../src/disk/sync-state.js';
import {SYNC_CHUNK_BYTES} from '../../../src/log/frame-schemas.js';
import {ForkNode, NAME, SIZE_BYTES} from './fork-rig.js';
import {diskOf, inWorld, type World} from './fork-world.js';
import {repairLife} from './repair-life.js';
import {skip} from '../../helpers/skip.js';

/** The nodes have their homes in memory, where there is such a place. */
const ELSEWHERE = tmpdir();

class Killed extends Error {}

/** Files of a process that is killed when it is about to make something durable for the `call`th time. */
function killedAt(call: number): Files {
  const durable = new Set<string>(['syncData', 'sync', 'syncDirectory', 'rename', 'unlink']);
  let count = 0;
  const inner = createNodeFiles();
  return new Proxy(inner, {
    get: (target, name: keyof Files) => {
      const act = Reflect.get(target, name) as (...given: unknown[]) => unknown;
      return (...args: unknown[]) => {
        if (durable.has(name)) count += 1;
        if (count >= call && name !== 'close') throw new Killed(`killed at call ${call}`);
        return act(...args);
      };
    },
  });
}

test('what is replayed of the branch after it was kept, and before its repair begins, is repaired as well', async () => {
  for (const isBeside of [true, false]) {
    const alpha = new ForkNode('alpha');
    const beta = new ForkNode('beta');
    alpha.others = [beta];
    beta.others = [alpha];
    try {
      alpha.begin(1, {position: 0, chain: {low: 0, high: 0}});
      alpha.write(1, 2);
      beta.receive(alpha);
      const {common} = alpha;
      alpha.write(6);
      const middle = alpha.position;
      alpha.write(7, 8);
      beta.begin(2, common);
      beta.write(20, 21);
      await beta.replay(beta.position);
      await alpha.replay(middle);
      const {position} = alpha;
      await alpha.giveWayTo(beta, false, () => alpha.replay(position));
      if (!isBeside) repairInPlace(createNodeFiles(), readDiskConfig(alpha.home, NAME), true);
      await alpha.follow(beta);
      assert.ok(alpha.image().equals(beta.model), `beside: ${isBeside}`);
    } finally {
      alpha.dispose();
      beta.dispose();
    }
  }
});

test('a log on another file system: what differs is taken in place, and it is said why', async (context) => {
  await inWorld(async ({loser, winner}) => {
    const {file} = loser.resource;
    const elsewhere = fs.mkdtempSync(join(ELSEWHERE, 'mars-log-'));
    try {
      if (fs.statSync(elsewhere).dev === fs.statSync(loser.home).dev) {
        skip(context, 'there is one file system only');
        return;
      }

      fs.cpSync(loser.paths.logDirectory, elsewhere, {recursive: true});
      fs.rmSync(loser.paths.logDirectory, {recursive: true});
      fs.symlinkSync(elsewhere, loser.paths.logDirectory);
      const known = await planRepair(loser.resource, 0);
      const wishes = {home: loser.home, file, known, end: winner.position, at: null};
      const plan = await beginCopy({...wishes, isGarbage: false});
      assert.match(plan.whyNotBeside ?? '', 'its log lies on another file system');
      assert.is(readNextState(createNodeFiles(), loser.home, NAME), undefined);
    } finally {
      fs.rmSync(elsewhere, {recursive: true, force: true});
    }
  });
});

/** The disk as whoever starts here now has it, from what lies here alone; nothing is changed. */
/** @returns which of both it is; undefined: the work has to be ended first */
async function judge({loser, winner, old}: World, text: string) {
  const state = readNextState(createNodeFiles(), loser.home, NAME)?.state;
  if (state === 'switching') return undefined;
  const disk = await diskOf(loser);
  const isOld = disk.equals(old);
  assert.ok(isOld || disk.equals(winner.model), `${text}: the old branch, or the new one`);
  if (state === 'fetching') assert.ok(isOld, `${text}: the old one as long as it is fetched`);
  return isOld ? 'old' : 'new';
}

/** Killed at every step, or at each of so many. */
async function killAtSteps(
  stride: number,
  prepare: (world: World) => Promise<void>,
): Promise<void> {
  const seen = {old: 0, new: 0, switching: 0};
  let isOver = false;
  for (let call = 1; !isOver; call += stride) {
    await inWorld(async (world) => {
      const {loser, winner} = world;
      const text = `call ${call}`;
      await prepare(world);
      try {
        await repairLife(loser, winner, {files: killedAt(call)});
        isOver = true;
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }

      const found = await judge(world, text);
      seen[found ?? 'switching'] += 1;
      if (found === undefined) {
        // The winner is gone for good: what is here is enough, also where it is killed once more.
        await repairLife(loser, loser, {files: killedAt(1 + (call % 9))}).catch(
          (error: unknown) => {
            if (!(error instanceof Killed)) throw error;
          },
        );
        await repairLife(loser, loser);
        assert.is(await judge(world, text), 'new');
      }

      if (found === 'old') await repairLife(loser, winner);
      await loser.follow(winner);
      assert.ok(loser.image().equals(winner.model), `${text}: as the winner`);
    });
  }

  assert.ok(seen.old > 5 && seen.switching > 2, JSON.stringify(seen));
}

test('hazard 13: killed at each step, it has the old branch or the new one, and the next life ends the work', async () => {
  await killAtSteps(1, () => Promise.resolve());
});

test('a whole image is made beside the old one: killed at each step, it has either of both', async () => {
  await killAtSteps(3, async ({loser, winner}) => {
    const {file} = loser.resource;
    const wishes = {home: loser.home, file, known: undefined, end: winner.position, at: null};
    const plan = await beginCopy({...wishes, isGarbage: false});
    assert.is(plan.how, 'beside');
  });
});

test('what is garbage is copied in place, and a file that is a link as well', async () => {
  await inWorld(async ({loser}) => {
    const {file} = loser.resource;
    const wishes = {home: loser.home, file, known: undefined, end: 0, at: null};
    assert.is((await beginCopy({...wishes, isGarbage: true})).how, 'compare');
    assert.is(readSyncState(createNodeFiles(), loser.home, NAME)?.state, 'empty');
    assert.is(readNextState(createNodeFiles(), loser.home, NAME), undefined);
    fs.rmSync(loser.paths.syncFile);
    fs.renameSync(file.imagePath, `${file.imagePath}.elsewhere`);
    fs.symlinkSync(`${file.imagePath}.elsewhere`, file.imagePath);
    const plan = await beginCopy({...wishes, isGarbage: false});
    assert.is(plan.how, 'compare');
    assert.match(plan.whyNotBeside ?? '', 'is not a file of its own');
  });
});

test('hazard 13: the winner dies in the middle: the old branch can be promoted by force, and has every byte', async () => {
  for (const cut of [1, 3, 5, 8, 12]) {
    await inWorld(async (world) => {
      const {loser, winner, old} = world;
      let count = 0;
      const passing = (chunk: Buffer): Buffer | undefined =>
        (count += 1) > cut ? undefined : chunk;
      await assertBreaks(repairLife(loser, winner, {passing}));
      assert.is(await judge(world, `cut ${cut}`), 'old');
      const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
      const files = createNodeFiles();
      const config = readDiskConfig(loser.home, NAME);
      const before = loser.position;
      const disk = activate({
        ...{files, clock: systemClock, config, shared, acceptImage: false, serve: true},
      });
      assert.is(disk.epochStart, before, 'its own history goes on');
      assert.is(readNextState(files, loser.home, NAME), undefined, 'the other is given up');
      assert.ok((await diskOf(loser)).equals(old));
      assert.ok(loser.isForkedFrom(winner));
    });
  }
});

test('hazard 13: undo while it is repaired brings the branch back, and nothing of the other is left', async () => {
  await inWorld(async (world) => {
    const {loser, winner, old} = world;
    let count = 0;
    const passing = (chunk: Buffer): Buffer | undefined => ((count += 1) > 6 ? undefined : chunk);
    await assertBreaks(repairLife(loser, winner, {passing}));
    await undoFork(loser.context, loser.resource, {
      dryRun: false,
      confirmed: true,
      timeoutSeconds: 30,
    });
    assert.is(readNextState(createNodeFiles(), loser.home, NAME), undefined);
    assert.ok((await diskOf(loser)).equals(old));
    assert.ok(loser.isForkedFrom(winner));
    await loser.giveWayTo(winner, false);
    await loser.follow(winner);
    assert.ok(loser.image().equals(winner.model));
  }, true);
});

test('a next.json that is rotten is in the way of nobody who copies the image anew', async () => {
  await inWorld(async ({loser}) => {
    const {file} = loser.resource;
    fs.writeFileSync(loser.paths.nextFile, 'rotten');
    const wishes = {home: loser.home, file, known: undefined, end: 0, at: null};
    assert.is((await beginCopy({...wishes, isGarbage: true})).how, 'compare');
    assert.is(readNextState(createNodeFiles(), loser.home, NAME), undefined);
    assert.is(readSyncState(createNodeFiles(), loser.home, NAME)?.state, 'empty');
  });
});

test('hazard 13: an image that was replayed on meanwhile is not repaired by what was asked for before', async () => {
  await inWorld(async ({loser, winner}) => {
    const {to} = loser.replayed();
    loser.rested(to + 4096, to);
    let error: unknown;
    await repairLife(loser, winner).catch((thrown: unknown) => {
      error = thrown;
    });
    assert.ok(isDiskError(error, 'IMAGE_CHANGED'), String(error));
    repairInPlace(createNodeFiles(), readDiskConfig(loser.home, NAME), false);
    const sync = readSyncState(createNodeFiles(), loser.home, NAME);
    assert.equal([sync?.state, sync?.only], ['empty', null]);
  });
});

/** The process that follows, as it starts. @returns whether it ended by itself */
async function startFollower(node: ForkNode): Promise<boolean> {
  let isStopped = false;
  const follower = new Follower({
    ...{files: createNodeFiles(), clock: systemClock, config: readDiskConfig(node.home, NAME)},
    ...{shared: new Shared(new SharedArrayBuffer(SHARED_BYTES)), notices: new Notices(systemClock)},
    ...{acceptImage: false, event: () => undefined, onActive: () => undefined},
    onReady: () => undefined,
    onStop: () => {
      isStopped = true;
    },
    onFatal: (error) => {
      throw error;
    },
    onCommitFailed: (errno) => {
      throw new Error(errno);
    },
  });
  try {
    follower.start();
    return isStopped;
  } finally {
    await follower.stop();
  }
}

test('H22: an image that was swapped while its repair is fetched is refused, and nothing is written', async () => {
  await inWorld(async ({loser}) => {
    assert.not(await startFollower(loser), 'as it is, it goes on');
    const {image} = loser.paths;
    const content = fs.readFileSync(image);
    fs.writeFileSync(`${image}.other`, content);
    fs.renameSync(`${image}.other`, image);
    let error: unknown;
    await startFollower(loser).catch((thrown: unknown) => {
      error = thrown;
    });
    assert.ok(isDiskError(error, 'IMAGE_CHANGED'), String(error));
    assert.is(readSyncState(createNodeFiles(), loser.home, NAME), undefined);
    assert.is(readNextState(createNodeFiles(), loser.home, NAME)?.state, 'fetching');
  });
});

test('what was fetched and cannot be used is fetched anew, and the old branch stays meanwhile', async () => {
  await inWorld(async ({loser, winner}) => {
    const files = createNodeFiles();
    const {nextHome} = loser.paths;
    const begun = readSyncState(files, nextHome, NAME);
    assert.ok(begun);
    // Complete by its word, with a replay state that says nothing.
    fs.writeFileSync(resourcePaths(nextHome, NAME).replayFile, 'rotten');
    writeSyncState(files, nextHome, NAME, {...begun, state: 'done', end: begun.begin});
    assert.not(await startFollower(loser));
    assert.is(readSyncState(files, nextHome, NAME)?.state, 'copying');
    assert.is(readNextState(files, loser.home, NAME)?.state, 'fetching');
    assert.is(readSyncState(files, loser.home, NAME), undefined);
    await loser.follow(winner);
    assert.ok(loser.image().equals(winner.model));
  });
});

test('without the list of what differs the replica is forked as before', async () => {
  await inWorld(async (world) => {
    const {loser, winner} = world;
    fs.writeFileSync(resourcePaths(loser.paths.nextHome, NAME).syncFile, 'rotten');
    assert.ok(await startFollower(loser), 'the next process begins anew');
    assert.is(readNextState(createNodeFiles(), loser.home, NAME), undefined);
    assert.is(await judge(world, 'dropped'), 'old');
    assert.ok(loser.isForkedFrom(winner));
  });
});

test('what was declared garbage is not put in place by a start after it', async () => {
  await inWorld(async ({loser}) => {
    const files = createNodeFiles();
    const next = readNextState(files, loser.home, NAME);
    assert.ok(next);
    writeNextState(files, loser.home, NAME, {...next, state: 'switching'});
    const empty = emptySyncState(SIZE_BYTES, SYNC_CHUNK_BYTES);
    writeSyncState(files, loser.home, NAME, empty);
    await startFollower(loser);
    assert.is(readNextState(files, loser.home, NAME), undefined);
    assert.is(readSyncState(files, loser.home, NAME)?.state, 'empty');
  });
});

test('no room to note that all is here: it is noted when there is', async () => {
  await inWorld(async ({loser, winner}) => {
    const inner = createNodeFiles();
    let failures = 0;
    const rename: Files['rename'] = (from, to) => {
      if (to === loser.paths.nextFile && failures === 0) {
        failures += 1;
        throw Object.assign(new Error('no space'), {code: 'ENOSPC', errno: -28, syscall: 'rename'});
      }

      inner.rename(from, to);
    };
    let error: unknown;
    await repairLife(loser, winner, {files: {...inner, rename}}).catch((thrown: unknown) => {
      error = thrown;
    });
    assert.is(error, undefined);
    assert.is(failures, 1);
    await loser.follow(winner);
    assert.ok(loser.image().equals(winner.model));
  });
});

test('a branch whose log is damaged while its repair is fetched is mended in place', async () => {
  await inWorld(async ({loser}) => {
    loser.damage(loser.replayed().to - 4096);
    assert.ok(await startFollower(loser), 'the next process begins anew');
    assert.is(readNextState(createNodeFiles(), loser.home, NAME), undefined);
    assert.is(readSyncState(createNodeFiles(), loser.home, NAME)?.state, 'copying');
  });
});

test('hazard 13: what came before a cut is not fetched again', async () => {
  await inWorld(async ({loser, winner}) => {
    let bytes = 0;
    const passing = (chunk: Buffer): Buffer | undefined => {
      bytes += chunk.length;
      return bytes > 4 * BLOCK_BYTES ? undefined : chunk;
    };
    await assertBreaks(repairLife(loser, winner, {passing}));
    await repairLife(loser, winner);
    await loser.follow(winner);
    assert.ok(loser.image().equals(winner.model));
  });
});

async function assertBreaks(work: Promise<void>): Promise<void> {
  let isBroken = false;
  await work.catch(() => {
    isBroken = true;
  });
  assert.ok(isBroken, 'it breaks off');
}

test.run();
