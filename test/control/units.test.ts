import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {installUnits, unitFiles} from '../../src/control/units.js';

const test = suite('units');
const OPTIONS = {home: '/var/lib/mars', node: '/usr/bin/node', installation: '/opt/mars'};

function textOf(name: string, options = OPTIONS): string {
  return unitFiles(options).find(({path}) => path.endsWith(name))?.text ?? '';
}

test('disks survive the restart of the daemon, and the last kill at shutdown', () => {
  assert.match(textOf('mars.service'), /^KillMode=process$/mu);
  assert.match(textOf('mars.service'), /^Restart=on-failure$/mu);
  const disk = textOf('mars-disk@.service');
  assert.match(
    disk,
    /^ExecStart=@\/bin\/sh @mars-disk \/opt\/mars\/dist\/disk\/holder\.sh \/var\/lib\/mars %i /mu,
  );
  assert.match(disk, /^KillMode=none$/mu);
  assert.match(disk, /^MemorySwapMax=0$/mu);
  assert.match(disk, /^DefaultDependencies=no$/mu);
  assert.match(disk, /^Before=.*fs\.target/mu);
});

test('blanks and percent signs in paths keep their meaning', () => {
  const options = {...OPTIONS, home: "/srv/a b'%h"};
  assert.match(textOf('mars.service', options), `--home "/srv/a b'%%h"`);
});

test('a dry run writes nothing, an installation all files', () => {
  const root = fs.mkdtempSync('/var/tmp/mars-units-');
  try {
    const planned = installUnits(OPTIONS, root, true);
    assert.equal(fs.readdirSync(root), []);
    assert.equal(installUnits(OPTIONS, root, false), planned);
    for (const {path, text} of planned) assert.is(fs.readFileSync(path, 'utf8'), text);
    assert.ok(fs.existsSync(join(root, 'etc/systemd/system/mars-disk@.service')));
  } finally {
    fs.rmSync(root, {recursive: true});
  }
});

test('units of another home are left as they are', () => {
  const root = fs.mkdtempSync('/var/tmp/mars-units-');
  const other = {...OPTIONS, home: "/srv/a b'%h"};
  try {
    const [unit] = installUnits(other, root, false);
    assert.ok(unit);
    assert.throws(
      () => installUnits(OPTIONS, root, false),
      (error: unknown) =>
        isDiskError(error, 'UNITS_OTHER_HOME') && error.message.includes("/srv/a b'%%h"),
    );
    assert.is(fs.readFileSync(unit.path, 'utf8'), unit.text);
    const moved = {...other, installation: '/opt/mars-2'};
    assert.match(installUnits(moved, root, false)[0]?.text ?? '', '/opt/mars-2');
  } finally {
    fs.rmSync(root, {recursive: true});
  }
});

test('housekeeping runs by the timer, and by cron only where there is no systemd', () => {
  const timer = textOf('mars-cron.timer');
  assert.match(timer, /^OnCalendar=\*:0\/10$/mu);
  assert.match(
    textOf('mars-cron.service'),
    /^ExecStart=\/usr\/bin\/node \/opt\/mars\/bin\/run\.js cron /mu,
  );
  const lines = textOf('/etc/cron.d/mars').split('\n');
  assert.is(
    lines.find((line) => line.startsWith('*')),
    '*/10 * * * * root [ -d /run/systemd/system ] || ' +
      '/usr/bin/node /opt/mars/bin/run.js cron --home /var/lib/mars >/dev/null',
  );
  const odd = textOf('/etc/cron.d/mars', {...OPTIONS, home: "/srv/a b'%h"});
  assert.match(odd, `--home '/srv/a b'\\''\\%h' >/dev/null`);
});

test.run();
