import fs from 'node:fs';
import path from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {defaultNodeName, initHome} from '../../src/cli/init-home.js';
import {requireRoot} from '../../src/cli/root-user.js';
import {isDiskError} from '../../src/core/errors.js';
import {makeTempDirectory} from '../helpers/fake-node.js';
import {runCommand} from '../helpers/run-command.js';

const test = suite<{directory: string; home: string}>('init');

test.before.each((context) => {
  context.directory = makeTempDirectory();
  context.home = path.join(context.directory, 'a', 'home');
});

test.after.each(({directory}) => {
  fs.rmSync(directory, {recursive: true, force: true});
});

test('it makes a home that only root can read, a node and a cluster', async ({home}) => {
  const {stdout, exit} = await runCommand('init', '--home', home, '--name', 'alpha', '--json');
  assert.is(exit, 0);
  const document = JSON.parse(stdout) as Record<string, string>;
  assert.is(fs.statSync(home).mode & 0o777, 0o700);
  const node = readJson(home, 'node.json');
  const cluster = readJson(home, 'cluster.json');
  assert.match(String(node['id']), /^[0-9a-f]{32}$/u);
  assert.match(String(cluster['id']), /^[0-9a-f]{32}$/u);
  assert.is(node['name'], 'alpha');
  assert.is(node['mounts'], path.join(home, 'mnt'));
  assert.is(node['devices'], path.join(home, 'dev'));
  assert.is(node['listen'], undefined);
  assert.is(document['id'], node['id']);
  assert.is(document['cluster'], cluster['id']);
  for (const name of ['resources', 'run/disks', 'peers', 'tls']) {
    assert.is(fs.statSync(path.join(home, name)).mode & 0o777, 0o700, name);
  }

  assert.match(fs.readFileSync(path.join(home, 'events.jsonl'), 'utf8'), /NODE_INITIALISED/u);
});

test('two nodes never get the same id', ({directory}) => {
  const ids = ['a', 'b'].map((name) => init(path.join(directory, name)).id);
  assert.is.not(ids[0], ids[1]);
});

test('places and listen are kept in node.json', async ({home}) => {
  const places = ['--mounts', '/m', '--devices', '/d', '--listen', '[::1]:7777'];
  const {exit} = await runCommand('init', '--home', home, ...places);
  assert.is(exit, 0);
  const node = readJson(home, 'node.json');
  assert.equal([node['mounts'], node['devices'], node['listen']], ['/m', '/d', '[::1]:7777']);
});

test('a second init is refused and changes nothing', async ({home}) => {
  init(home);
  const before = snapshot(home);
  const {exit, code} = await runCommand('init', '--home', home, '--name', 'beta');
  assert.is(exit, 3);
  assert.is(code, 'ALREADY_INITIALISED');
  assert.equal(snapshot(home), before);
});

test('a half-written or newer node.json is told, and not touched', ({home}) => {
  const cases = [
    ['{"schema": 1, "na', 'STATE_UNREADABLE'],
    ['', 'STATE_UNREADABLE'],
    ['[]', 'STATE_UNREADABLE'],
    ['{"schema": 1}', 'STATE_UNREADABLE'],
    ['{"schema": 99, "name": "x"}', 'HOME_NEWER'],
  ] as const;
  for (const [text, code] of cases) {
    fs.mkdirSync(home, {recursive: true});
    fs.writeFileSync(path.join(home, 'node.json'), text);
    assert.throws(
      () => init(home),
      (error: unknown) => isDiskError(error, code),
    );
    assert.equal(snapshot(home), {'node.json': text});
  }
});

test('a directory with something else in it is not taken over', ({home}) => {
  fs.mkdirSync(home, {recursive: true, mode: 0o755});
  fs.writeFileSync(path.join(home, 'passwd'), 'x');
  assert.throws(
    () => init(home),
    (error: unknown) => isDiskError(error, 'HOME_NOT_EMPTY'),
  );
  assert.equal(snapshot(home), {passwd: 'x'});
  assert.is(fs.statSync(home).mode & 0o777, 0o755);
});

test('resources without a node are not given to a new one', ({home}) => {
  fs.mkdirSync(path.join(home, 'resources', 'web'), {recursive: true});
  assert.throws(
    () => init(home),
    (error: unknown) =>
      isDiskError(error, 'HOME_NOT_EMPTY') && /resources\/web/u.test(error.message),
  );
});

test('what an init that was killed left behind is taken over', ({home}) => {
  fs.mkdirSync(path.join(home, 'run', 'disks'), {recursive: true});
  fs.writeFileSync(path.join(home, 'cluster.json'), '{');
  fs.writeFileSync(path.join(home, 'node.json.tmp'), '{');
  init(home);
  assert.is(readJson(home, 'cluster.json')['schema'], 1);
});

test('a failure in the middle leaves nothing behind', ({directory, home}) => {
  // A file where a directory is to be made fails as late as a full disk would.
  fs.mkdirSync(home, {recursive: true, mode: 0o755});
  fs.writeFileSync(path.join(home, 'run'), '');
  assert.throws(
    () => init(home),
    (error: unknown) => isDiskError(error, 'STORE_IO'),
  );
  assert.equal(fs.readdirSync(home), ['run']);
  assert.is(fs.statSync(home).mode & 0o777, 0o755);
  fs.writeFileSync(path.join(directory, 'file'), '');
  assert.throws(
    () => init(path.join(directory, 'file')),
    (error: unknown) => isDiskError(error, 'USAGE'),
  );
});

test('names and addresses that are none are refused', async ({home}) => {
  const bad = [
    ['--name', '../x'],
    ['--name', ''],
    ['--name', 'x'.repeat(64)],
    ['--name', 'all'],
    ['--listen', 'nowhere'],
    ['--listen', 'host:0'],
    ['--listen', 'host:65536'],
    ['--mounts', '/same', '--devices', '/same'],
  ];
  for (const words of bad) {
    const {exit} = await runCommand('init', '--home', home, ...words);
    assert.is(exit, 2, words.join(' '));
    assert.not.ok(fs.existsSync(home));
  }
});

test('the default name is one', () => {
  assert.match(defaultNodeName(), /^[a-zA-Z0-9][a-zA-Z0-9_-]*$/u);
});

test('who is not root is told so', () => {
  assert.throws(
    () => {
      requireRoot('init', 1000);
    },
    (error: unknown) => isDiskError(error, 'NOT_ROOT'),
  );
  requireRoot('init', 0);
});

function init(home: string): ReturnType<typeof initHome> {
  const mounts = path.join(home, 'mnt');
  const request = {home, name: 'alpha', mounts, devices: path.join(home, 'dev'), listen: null};
  return initHome(request, Date.now());
}

function readJson(home: string, name: string): Record<string, unknown> {
  return JSON.parse(fs.readFileSync(path.join(home, name), 'utf8')) as Record<string, unknown>;
}

/** All files below a directory with their text. */
function snapshot(directory: string): Record<string, string> {
  const files = fs.readdirSync(directory, {recursive: true, encoding: 'utf8'}).sort();
  return Object.fromEntries(
    files
      .filter((file) => fs.statSync(path.join(directory, file)).isFile())
      .map((file) => [file, fs.readFileSync(path.join(directory, file), 'utf8')]),
  );
}

test.run();
