/** A replica that is made beside another one: what is told of it, whose its image is, and what an undo ends. */
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {setCrashHandler} from '../../../src/core/crash-points.js';
import {createNodeFiles} from '../../../src/core/files.js';
import {formatPosition} from '../../../src/core/position.js';
import {beginCopy} from '../../../src/daemon/replication/begin-copy.js';
import {undoFork} from '../../../src/daemon/replication/fork-undo.js';
import {givenUpHere} from '../../../src/daemon/replication/next-view.js';
import {stateOfFiles} from '../../../src/daemon/replication/replica-state.js';
import {readDiskConfig} from '../../../src/disk/config.js';
import {nextImagePath, readNextState, repairInPlace} from '../../../src/disk/next-state.js';
import {NAME} from './fork-rig.js';
import {diskOf, inWorld} from './fork-world.js';

test('undo while another replica is made beside for another reason brings the branch back', async () => {
  await inWorld(async ({loser, winner, old}) => {
    await loser.follow(winner);
    assert.ok(loser.image().equals(winner.model), 'it gave way');
    const {file} = loser.resource;
    const wishes = {home: loser.home, file, known: undefined, end: winner.position, at: null};
    assert.is((await beginCopy({...wishes, isGarbage: false})).how, 'beside');
    const request = {dryRun: false, confirmed: true, timeoutSeconds: 30};
    await undoFork(loser.context, loser.resource, request);
    assert.is(readNextState(createNodeFiles(), loser.home, NAME), undefined);
    assert.ok((await diskOf(loser)).equals(old), 'the disk is that of the branch');
    assert.ok(loser.isForkedFrom(winner));
  }, true);
});

test('what its files say is given up is what a loser tells before its disk process runs', async () => {
  await inWorld(async ({loser, winner}) => {
    const {at} = readNextState(createNodeFiles(), loser.home, NAME) ?? {at: null};
    assert.ok(at !== null);
    assert.equal(givenUpHere(loser.home, NAME), {at: formatPosition(at)});
    assert.is(stateOfFiles(loser.home, NAME), 'Forked', 'no copy that is whole');
    repairInPlace(createNodeFiles(), readDiskConfig(loser.home, NAME), true);
    assert.equal(givenUpHere(loser.home, NAME), {at: null}, 'in place');
    assert.is(stateOfFiles(loser.home, NAME), 'InConsistent');
    await loser.follow(winner);
    assert.is(givenUpHere(loser.home, NAME), undefined, 'it has the other history');
  });
});

test('an image that is made beside has owner and mode of the old one before next.json names it', async () => {
  await inWorld(async ({loser, winner}) => {
    const {file} = loser.resource;
    const owner = process.getuid?.() === 0 ? 12_345 : fs.statSync(file.imagePath).uid;
    fs.chownSync(file.imagePath, owner, fs.statSync(file.imagePath).gid);
    fs.chmodSync(file.imagePath, 0o640);
    const wishes = {home: loser.home, file, known: undefined, end: winner.position, at: null};
    const seen: unknown[] = [];
    setCrashHandler((point, subject) => {
      if (subject !== 'next.json' || point !== 'file-written') return;
      const {uid, mode} = fs.statSync(nextImagePath(file.imagePath));
      seen.push([uid, mode & 0o7777]);
    });
    try {
      // Also where one of the same name was being made.
      for (let count = 0; count < 2; count += 1) await beginCopy({...wishes, isGarbage: false});
    } finally {
      setCrashHandler(undefined);
    }

    assert.equal(seen, [
      [owner, 0o640],
      [owner, 0o640],
    ]);
  });
});

test.run();
