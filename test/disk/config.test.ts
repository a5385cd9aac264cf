import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {dirname, join} from 'node:path';
import type {ErrorCode} from '../../src/core/codes.js';
import {isDiskError} from '../../src/core/errors.js';
import {homePaths, resourcePaths} from '../../src/core/home.js';
import {readDiskConfig, segmentPlan} from '../../src/disk/config.js';
import {Rig} from './rig.js';

let home = '';

test.before.each(() => {
  home = fs.mkdtempSync('/var/tmp/mars-config-');
  const {node, resource} = new Rig().config;
  const {resourceFile} = resourcePaths(home, 'vol0');
  fs.mkdirSync(dirname(resourceFile), {recursive: true});
  fs.writeFileSync(homePaths(home).nodeFile, JSON.stringify(node));
  fs.writeFileSync(resourceFile, JSON.stringify(resource));
});

test.after.each(() => {
  fs.rmSync(home, {recursive: true});
});

function assertRefused(code: ErrorCode): void {
  assert.throws(
    () => readDiskConfig(home, 'vol0'),
    (error: unknown) => isDiskError(error, code),
    code,
  );
}

test('node and resource are read, and tell how segments are made', () => {
  const config = readDiskConfig(home, 'vol0');
  assert.is(config.resource.name, 'vol0');
  assert.equal(segmentPlan(config), {
    directory: join(home, 'resources/vol0/log'),
    resourceId: 'b'.repeat(32),
    originId: 'a'.repeat(32),
    originName: 'alpha',
    fileBytes: 128 * 1024,
  });
});

test('what is missing, half written or of a newer version is named', () => {
  const {resourceFile} = resourcePaths(home, 'vol0');
  const whole = fs.readFileSync(resourceFile, 'utf8');
  for (const text of ['', whole.slice(0, 100), '[]', '7', whole.replace('"sizeBytes"', '"size"')]) {
    fs.writeFileSync(resourceFile, text);
    assertRefused('STATE_UNREADABLE');
  }

  fs.writeFileSync(resourceFile, whole.replace('"schema":1', '"schema":99'));
  assertRefused('HOME_NEWER');
  fs.rmSync(resourceFile);
  assertRefused('RESOURCE_UNKNOWN');
  fs.rmSync(homePaths(home).nodeFile);
  assertRefused('NOT_INITIALISED');
});

test.run();
