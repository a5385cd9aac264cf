/** Where the reserve lies on a file system with logs of several resources, but not with the home. */
import fs from 'node:fs';
import {join} from 'node:path';
import {pino} from 'pino';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {systemClock} from '../../../src/core/clock.js';
import type {MarsNode} from '../../../src/daemon/node.js';
import {SpaceWatch} from '../../../src/daemon/space/space-watch.js';

const MIB = 1024 * 1024;

let directory = '';

test.before.each(() => {
  directory = fs.mkdtempSync('/var/tmp/mars-space-');
  for (const name of ['one', 'two']) fs.mkdirSync(join(directory, name));
});
test.after.each(() => {
  fs.rmSync(directory, {recursive: true, force: true});
});

/** As much of a resource as is looked at; its log is in a directory of its name. */
function resourceOf(name: string): object {
  return {
    ...{name, fault: undefined, disk: undefined, lastDisk: undefined, messages: []},
    file: {segmentBytes: 4 * MIB},
    places: {paths: {logDirectory: join(directory, name)}},
    lastWords: () => undefined,
    say: () => undefined,
    hush: () => undefined,
  };
}

/** A daemon begins with these resources, in this order, which the test may change. */
function watchOf(resources: readonly object[]): SpaceWatch {
  const context = {
    clock: systemClock,
    log: pino({level: 'silent'}),
    // Never on the file system of the logs.
    paths: {home: '/proc'},
    tell: () => undefined,
  };
  return new SpaceWatch({context, resources: () => [...resources]} as unknown as MarsNode);
}

const reserves = (): string[] =>
  ['one', 'two'].filter((name) => fs.existsSync(join(directory, name, 'reserve')));

test('a daemon that starts again finds the reserve, whichever resource it lies beside', async () => {
  const [one, two] = [resourceOf('one'), resourceOf('two')];
  await watchOf([one, two]).look();
  assert.equal(reserves(), ['one']);
  await watchOf([two, one]).look();
  assert.equal(reserves(), ['one']);
});

test('of two reserves on a file system one is kept', async () => {
  for (const name of ['one', 'two']) fs.writeFileSync(join(directory, name, 'reserve'), 'x');
  await watchOf([resourceOf('two'), resourceOf('one')]).look();
  assert.equal(reserves(), ['two']);
});

test('the reserve moves when the resource that it lies beside is gone, and goes with the last', async () => {
  const resources = [resourceOf('one'), resourceOf('two')];
  const watch = watchOf(resources);
  await watch.look();
  assert.equal(reserves(), ['one']);
  resources.shift();
  await watch.look();
  assert.equal(reserves(), ['two']);
  resources.shift();
  await watch.look();
  assert.equal(reserves(), []);
});

test.run();
