/** What is kept below forks/ before a replica gives way, on real files. */
import fs from 'node:fs';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {DiskError} from '../../../src/core/errors.js';
import {createNodeFiles} from '../../../src/core/files.js';
import {resourcePaths, type ResourcePaths} from '../../../src/core/home.js';
import {formatPosition} from '../../../src/core/position.js';
import {keepBranch, keepLostTail} from '../../../src/daemon/replication/kept-branch.js';
import {LogBuilder, planFor, RESOURCE_ID, type BuiltRecord} from '../../log/log-builder.js';
import {makeHome, removeHome} from '../fake-node.js';

const NAME = 'web01';
const files = createNodeFiles();
let home = '';
let paths: ResourcePaths;
let records: readonly BuiltRecord[] = [];

test.before.each(() => {
  home = makeHome('mars-kept-');
  paths = resourcePaths(home, NAME);
  fs.mkdirSync(paths.logDirectory, {recursive: true});
  fs.writeFileSync(paths.lineageFile, '{"schema": 1, "entries": []}');
  const log = new LogBuilder({files, plan: planFor(64 * 1024, paths.logDirectory)});
  log.beginEpoch(1, 1);
  log.small(40, 1);
  log.beginSegment(2);
  log.small(40, 2);
  log.small(40, 3);
  log.beginSegment(3);
  log.small(40, 4);
  records = log.records;
});

test.after.each(() => {
  removeHome(home);
});

function position(at: number): number {
  return records[at]?.position ?? -1;
}

function keptNames(kept: string): string[] {
  return fs.readdirSync(kept).sort();
}

test('a branch is kept from the segment on that holds the place where it parts, with the lineage', () => {
  const {kept, segments} = keepBranch(files, paths, RESOURCE_ID, position(2));
  assert.is(segments.length, 3);
  assert.equal(keptNames(kept), ['lineage.json', 'log-000000002-alpha', 'log-000000003-alpha']);
  for (const name of keptNames(kept).slice(1)) {
    const original = fs.readFileSync(join(paths.logDirectory, name));
    assert.ok(fs.readFileSync(join(kept, name)).equals(original), name);
  }
});

test('one that is not whole is made anew, one that is stays', () => {
  const first = keepBranch(files, paths, RESOURCE_ID, position(2)).kept;
  fs.renameSync(first, `${first}.tmp`);
  fs.writeFileSync(join(`${first}.tmp`, 'half'), '');
  const {kept} = keepBranch(files, paths, RESOURCE_ID, position(2));
  assert.is(kept, first);
  assert.not(keptNames(kept).includes('half'));
  fs.rmSync(join(paths.logDirectory, 'log-000000003-alpha'));
  keepBranch(files, paths, RESOURCE_ID, position(2));
  assert.ok(keptNames(kept).includes('log-000000003-alpha'));
});

test('hazard 8: what the origin has lost is kept before the image is copied again', () => {
  const file = {id: RESOURCE_ID, name: NAME};
  const lost = new DiskError('ORIGIN_LOST_DATA', 'lost', {position: formatPosition(position(3))});
  const words = keepLostTail(paths, file, lost);
  const [kept] = fs.readdirSync(join(paths.directory, 'forks'));
  assert.match(words, kept ?? 'nothing');
  assert.equal(keptNames(join(paths.directory, 'forks', kept ?? '')), [
    'lineage.json',
    'log-000000003-alpha',
  ]);
  assert.is(keepLostTail(paths, file, new DiskError('LOG_GONE', 'gone')), '');
  assert.is(fs.readdirSync(join(paths.directory, 'forks')).length, 1);
});

test('a tail that cannot be kept is not given up', () => {
  fs.writeFileSync(join(paths.directory, 'forks'), 'in the way');
  const lost = new DiskError('ORIGIN_LOST_DATA', 'lost', {position: formatPosition(0)});
  assert.throws(
    () => keepLostTail(paths, {id: RESOURCE_ID, name: NAME}, lost),
    (error: unknown) => error instanceof Error,
  );
});

test.run();
