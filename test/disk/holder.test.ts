/** The holder's shell program where it gets no further than the mount. */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';

let home: string;

test.before(() => {
  home = fs.mkdtempSync('/var/tmp/mars-holder-');
  fs.mkdirSync(path.join(home, 'resources/vol0'), {recursive: true});
  fs.mkdirSync(path.join(home, 'run/disks'), {recursive: true});
});

test.after(() => {
  fs.rmSync(home, {recursive: true, force: true});
});

/** As where /dev/fuse is there, but may not be opened (containers). */
function runWithoutFuse(driver: string): {status: number | null; stdout: string} {
  const script = fs.readFileSync(new URL('../../src/disk/holder.sh', import.meta.url), 'utf8');
  const changed = path.join(home, 'holder.sh');
  fs.writeFileSync(changed, script.replaceAll('/dev/fuse', '/proc'));
  const env = {...process.env, MARS_DISK_MAIN: '/bin/false', MARS_NODE: '/bin/false'};
  const args = [changed, home, 'vol0', '/nonexistent', driver, 'serve'];
  return spawnSync('sh', args, {env, encoding: 'utf8', timeout: 30_000});
}

test('/dev/fuse that cannot be opened is a fatal error with its code', () => {
  const {status, stdout} = runWithoutFuse('kernel');
  assert.is(status, 74);
  assert.ok(stdout.includes('"code":"MOUNT_FAILED"'));
});

test('/dev/fuse that cannot be opened lets auto take the other driver', () => {
  // The program in the place of node ends at once; fuse-native is not started again by the holder.
  assert.is(runWithoutFuse('auto').status, 71);
});

test.run();
