import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import type {ResourceFile} from '../../src/core/home.js';
import {readNode, readResource, writeResource} from '../../src/daemon/state.js';
import {deferredKeys, parseSettings, showSettings} from '../../src/daemon/settings.js';
import {makeHome, removeHome, writeNode} from './fake-node.js';

const test = suite<{home: string}>('state files');

const FILE: ResourceFile = {
  schema: 1,
  name: 'web01',
  id: 'ab'.repeat(16),
  sizeBytes: 2 ** 20,
  createdAt: '2026-11-22T10:00:00.000Z',
  imagePath: '/images/web01',
  imageOwned: true,
  designatedRole: 'primary',
  attached: true,
  replayPaused: false,
  device: true,
  driver: 'auto',
  segmentBytes: 64 * 2 ** 20,
  alignmentBytes: 8,
  durability: 'flush',
};

test.before.each((context) => {
  context.home = makeHome('mars-state-');
  fs.mkdirSync(join(context.home, 'resources/web01'));
});
test.after.each(({home}) => {
  removeHome(home);
});

function write(home: string, text: string): void {
  fs.writeFileSync(join(home, 'resources/web01/resource.json'), text);
}

function faultOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isDiskError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }

  return 'no error';
}

test('a written resource file is read again', ({home}) => {
  writeResource(home, FILE);
  assert.equal(readResource(home, 'web01'), FILE);
  writeResource(home, {...FILE, withoutDevice: true});
  assert.is(readResource(home, 'web01')?.withoutDevice, true);
  assert.is(readResource(home, 'web02'), undefined);
});

test('each prefix of a resource file is refused, none is half believed', ({home}) => {
  const text = JSON.stringify(FILE);
  for (let length = 0; length < text.length; length += 1) {
    write(home, text.slice(0, length));
    assert.match(
      faultOf(() => readResource(home, 'web01')),
      /^STATE_UNREADABLE: .*resource\.json/u,
    );
  }
});

test('each key that is missing or wrong is named', ({home}) => {
  for (const key of Object.keys(FILE) as (keyof ResourceFile)[]) {
    for (const value of [undefined, null, [], 'nonsense ', -1, 1.5]) {
      if (typeof value === 'string' && key === 'createdAt') continue;
      if (value === 1.5 && key === 'schema') continue; // that is a newer home
      write(home, JSON.stringify({...FILE, [key]: value}));
      const fault = faultOf(() => readResource(home, 'web01'));
      assert.match(fault, 'STATE_UNREADABLE');
      assert.match(fault, `"${key}"`);
    }
  }

  write(home, JSON.stringify({...FILE, colour: 'red'}));
  assert.match(
    faultOf(() => readResource(home, 'web01')),
    'colour',
  );
});

test('a newer home and a missing one are told apart', ({home}) => {
  writeNode(home, {});
  assert.is(readNode(home).name, 'alpha');
  writeNode(home, {schema: 2});
  assert.match(
    faultOf(() => readNode(home)),
    'HOME_NEWER',
  );
  writeNode(home, {mounts: 'relative'});
  assert.match(
    faultOf(() => readNode(home)),
    '"mounts"',
  );
  fs.rmSync(join(home, 'node.json'));
  assert.match(
    faultOf(() => readNode(home)),
    'NOT_INITIALISED',
  );
  write(home, JSON.stringify({...FILE, schema: 2}));
  assert.match(
    faultOf(() => readResource(home, 'web01')),
    'HOME_NEWER',
  );
});

test('what settings show is what they take', () => {
  const shown = showSettings(FILE);
  assert.equal(showSettings({...FILE, ...parseSettings(shown)}), shown);
  assert.is(parseSettings({'segment-bytes': '16M'}).segmentBytes, 16 * 2 ** 20);
  assert.equal(deferredKeys({device: 'on', driver: 'kernel'}), ['driver']);
  for (const [key, value] of [
    ['segment-bytes', '16'],
    ['segment-bytes', '5000000'],
    ['alignment', '7'],
    ['device', 'yes'],
    ['driver', ''],
    ['durability', 'never'],
    ['toString', 'x'],
  ] as const) {
    assert.match(
      faultOf(() => parseSettings({[key]: value})),
      'KEY_UNKNOWN',
    );
  }
});

test('when-full and priority have defaults, are shown, and take nothing else', () => {
  assert.equal(parseSettings({'when-full': 'throttle', priority: '0'}), {
    whenFull: 'throttle',
    priority: 0,
  });
  const shown = showSettings(FILE);
  assert.is(shown['when-full'], 'block');
  assert.is(shown['priority'], '50');
  for (const bad of ['', 'Throttle', 'wait']) {
    assert.throws(
      () => parseSettings({'when-full': bad}),
      /when-full takes block, throttle or bypass/u,
    );
  }

  for (const bad of ['101', '-1', '1.5', 'high', '']) {
    assert.throws(() => parseSettings({priority: bad}), /priority takes a number from 0 to 100/u);
  }
});

test('log-age takes a time or off, is shown as it was given, and is read back', () => {
  assert.equal(parseSettings({history: '24h'}), {historySeconds: 86_400});
  assert.equal(parseSettings({history: 'off'}), {historySeconds: 0});
  assert.equal(parseSettings({'log-age': '7d'}), {logAgeSeconds: 604_800});
  assert.equal(parseSettings({'log-age': 'off'}), {logAgeSeconds: 0});
  for (const bad of ['', '5m', '100000d', 'never']) {
    assert.throws(() => parseSettings({'log-age': bad}), /log-age takes off, or a time from 10m/u);
  }
});

test.run();
