import fs from 'node:fs';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {
  checkFuseTimeouts,
  checkKernel,
  checkMachine,
  hasCapability,
  isVersionAtLeast,
} from '../../src/core/machine.js';

const test = suite('machine');

test('kernels from 6.9 on can send requests again', () => {
  for (const release of ['6.9.0', '6.18.44-fc', '7.0', '10.1']) assert.ok(checkKernel(release).ok);
  for (const release of ['6.8.12', '6.1.0-27-amd64', '5.19', '']) {
    const check = checkKernel(release);
    assert.not(check.ok);
    assert.is(check.code, 'KERNEL_OLD');
    assert.match(check.found, 'may be an I/O error');
  }

  assert.ok(isVersionAtLeast('20.20.2', [20, 15]));
  assert.not(isVersionAtLeast('18.99.0', [20, 15]));
});

test('a limit on FUSE requests is named with what removes it', () => {
  assert.ok(checkFuseTimeouts({}).ok);
  assert.ok(checkFuseTimeouts({default_request_timeout: 0}).ok);
  const check = checkFuseTimeouts({default_request_timeout: 0, max_request_timeout: 30});
  assert.not(check.ok);
  assert.is(check.remedy, 'sysctl fs.fuse.max_request_timeout=0');
});

test('capabilities are bits of CapEff', () => {
  assert.ok(hasCapability('000001ffffffffff', 21));
  assert.ok(hasCapability('0000000000200000', 21));
  assert.not(hasCapability('ffffffffffdfffff', 21));
});

test('every check has a name, a code and, where it fails, a remedy', () => {
  const home = fs.mkdtempSync('/var/tmp/mars-machine-');
  const checks = checkMachine({home: `${home}/not/there/yet`});
  fs.rmSync(home, {recursive: true});
  assert.is(new Set(checks.map(({name}) => name)).size, checks.length);
  for (const check of checks) {
    assert.ok(check.found.length > 0, check.name);
    assert.is(check.ok, check.remedy === '', check.name);
  }
});

test.run();
