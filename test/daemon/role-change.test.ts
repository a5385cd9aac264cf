/** Hooks and systemd units at changes of the role, with a systemctl that does what a file says. */
import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceView, StatusDocument} from '../../src/control/api.js';
import {MIB} from '../../src/core/units.js';
import {rejectsWith, startFakeNode, until, type FakeNode} from './fake-node.js';

interface Context {
  node: FakeNode;
  path: string | undefined;
}

const test = suite<Context>('change of the role');

test.before.each(async (context) => {
  context.node = await startFakeNode();
  context.path = process.env['PATH'];
  const {home} = context.node;
  const bin = join(home, 'bin');
  fs.mkdirSync(bin);
  fs.mkdirSync(join(home, 'hooks'));
  // `HOME/fake/stop-fails` makes a stop fail; the unit runs while `HOME/active` is there.
  const text = `#!/bin/sh
echo "$*" >>'${home}/calls'
case $1 in
  start) [ ! -e '${home}/fake/start-fails' ] || { echo no good >&2; exit 1; }; >'${home}/active' ;;
  stop) [ ! -e '${home}/fake/stop-fails' ] || { echo it hangs >&2; exit 1; }; rm -f '${home}/active' ;;
esac
`;
  fs.writeFileSync(join(bin, 'systemctl'), text, {mode: 0o755});
  process.env['PATH'] = `${bin}:${context.path ?? ''}`;
});

test.after.each(async ({node, path}) => {
  process.env['PATH'] = path;
  await node.close();
});

function hook({home}: FakeNode, name: string, script: string): void {
  fs.writeFileSync(join(home, 'hooks', name), `#!/bin/sh\n${script}\n`, {mode: 0o755});
}

function read({home}: FakeNode, file: string): string {
  const path = join(home, file);
  return fs.existsSync(path) ? fs.readFileSync(path, 'utf8') : '';
}

/** Secondary at first. */
async function create(node: FakeNode, settings: Record<string, string> = {}): Promise<void> {
  const body = {name: 'web', sizeBytes: 4 * MIB, activate: false};
  await node.call('POST', 'resources', {...body, settings: {device: 'off', ...settings}});
}

function change(node: FakeNode, role: 'primary' | 'secondary', timeoutSeconds = 30) {
  return node.call<ResourceView>('POST', `resources/web/${role}`, {timeoutSeconds});
}

async function status(node: FakeNode) {
  const {resources} = await node.call<StatusDocument>('GET', 'status');
  const [web] = resources;
  if (web === undefined) throw new Error('no status');
  return {role: web.role, codes: web.messages.map(({code}) => code)};
}

async function messages(node: FakeNode) {
  const {resources} = await node.call<StatusDocument>('GET', 'status');
  return resources.flatMap((resource) => resource.messages);
}

test('all four hooks run, each at its time, and know what for', async ({node}) => {
  for (const when of ['before', 'after']) {
    for (const role of ['primary', 'secondary']) {
      const image = `[ -e "$MARS_IMAGE" ] && there=1 || there=0`;
      const line = `"$MARS_HOOK $1 $MARS_RESOURCE $MARS_NODE_NAME $there"`;
      hook(node, `${when}-${role}`, `${image}; echo ${line} >>"$MARS_HOME/lines"`);
    }
  }

  await create(node);
  await change(node, 'primary');
  await change(node, 'primary');
  await change(node, 'secondary');
  await change(node, 'secondary');
  assert.equal(read(node, 'lines').trim().split('\n'), [
    'before-primary web web alpha 0',
    'after-primary web web alpha 1',
    'before-secondary web web alpha 1',
    'after-secondary web web alpha 0',
  ]);
});

test('a disk that is ready later than was waited for: hook, unit and event come when it serves', async ({
  node,
}) => {
  await create(node, {'systemd-unit': 'web.target'});
  hook(node, 'after-primary', 'echo after >>"$MARS_HOME/lines"');
  node.steer('phase', 'recovering');
  await rejectsWith('TIMEOUT', change(node, 'primary', 1));
  node.steer('phase', undefined);
  await until(() => read(node, 'lines') === 'after\n', 'the hook');
  assert.is((await status(node)).role, 'primary');
  assert.ok(fs.existsSync(join(node.home, 'active')));
  assert.is(node.events().filter(({code}) => code === 'ROLE_PRIMARY').length, 1);
});

test('a hook that fails before a change refuses it, with its words', async ({node}) => {
  await create(node);
  hook(node, 'before-primary', 'echo the backup runs; exit 7');
  const refusal = await rejectsWith('HOOK_FAILED', change(node, 'primary'));
  assert.match(refusal.message, /hooks\/before-primary for web: status 7: the backup runs/u);
  assert.is((await status(node)).role, 'secondary');
  fs.rmSync(join(node.home, 'hooks/before-primary'));
  const {disk} = await change(node, 'primary');
  hook(node, 'before-secondary', 'exit 1');
  await rejectsWith('HOOK_FAILED', change(node, 'secondary'));
  assert.is((await status(node)).role, 'primary');
  assert.is((await node.call<ResourceView>('GET', 'resources/web')).disk?.pid, disk?.pid);
});

test('a hook that does not end is killed with all that it started, and counts as failed', async ({
  node,
}) => {
  await create(node);
  hook(node, 'before-primary', `sleep 600 & echo $! >'${node.home}/child'; wait`);
  const refusal = await rejectsWith('HOOK_FAILED', change(node, 'primary', 1));
  assert.match(refusal.message, 'did not end within 1 s and was killed');
  const child = read(node, 'child').trim();
  await until(() => !/^State:\s+[RSD]/mu.test(procStatus(child)), 'end of what the hook started');
});

function procStatus(pid: string): string {
  try {
    return fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}

test('a hook that fails after a change is shown until one succeeds, and the role stays', async ({
  node,
}) => {
  await create(node);
  hook(node, 'after-primary', 'exit 3');
  await change(node, 'primary');
  assert.equal(await status(node), {role: 'primary', codes: ['HOOK_FAILED']});
  assert.ok(node.events().some(({code}) => code === 'HOOK_FAILED'));
  await change(node, 'secondary');
  hook(node, 'after-primary', 'exit 0');
  await change(node, 'primary');
  assert.equal(await status(node), {role: 'primary', codes: []});
});

test('a hook that is no program, or that anybody may write, is refused and not run', async ({
  node,
}) => {
  await create(node);
  const file = join(node.home, 'hooks/before-primary');
  hook(node, 'before-primary', `echo ran >'${node.home}/lines'`);
  for (const mode of [0o644, 0o777]) {
    fs.chmodSync(file, mode);
    await rejectsWith('HOOK_FAILED', change(node, 'primary'));
  }

  assert.is(read(node, 'lines'), '');
});

test('the unit runs exactly where the resource is primary', async ({node}) => {
  await create(node, {'systemd-unit': 'web.target'});
  assert.is(read(node, 'calls'), '');
  await change(node, 'primary');
  assert.ok(fs.existsSync(join(node.home, 'active')));
  await change(node, 'secondary');
  assert.not(fs.existsSync(join(node.home, 'active')));
  assert.is(read(node, 'calls'), 'start web.target\nstop web.target\n');
});

test('a unit that does not stop: it is started again, and the role stays', async ({node}) => {
  await create(node, {'systemd-unit': 'web.target'});
  await change(node, 'primary');
  node.steer('stop-fails', '1');
  const refusal = await rejectsWith('SERVICE_FAILED', change(node, 'secondary'));
  assert.match(refusal.message, 'systemctl stop web.target: it hangs');
  assert.is((await status(node)).role, 'primary');
  assert.is(read(node, 'calls'), 'start web.target\nstop web.target\nstart web.target\n');
});

test('a disk that is still in use when the unit has stopped: the unit runs again', async ({
  node,
}) => {
  await create(node, {'systemd-unit': 'web.target'});
  const {image} = await change(node, 'primary');
  const fd = fs.openSync(image ?? '', 'r');
  try {
    await rejectsWith('RESOURCE_BUSY', change(node, 'secondary'));
  } finally {
    fs.closeSync(fd);
  }

  assert.ok(fs.existsSync(join(node.home, 'active')));
  assert.is((await status(node)).role, 'primary');
});

test('a unit that does not start is shown, and mars primary again tries again', async ({node}) => {
  await create(node, {'systemd-unit': 'web.target'});
  node.steer('start-fails', '1');
  await change(node, 'primary');
  assert.equal(await status(node), {role: 'primary', codes: ['SERVICE_FAILED']});
  node.steer('start-fails', undefined);
  await change(node, 'primary');
  assert.equal(await status(node), {role: 'primary', codes: []});
  await node.call('POST', 'resources/web/set', {settings: {'systemd-unit': 'none'}});
  const view = await change(node, 'secondary');
  assert.is(view.settings['systemd-unit'], 'none');
  assert.ok(fs.existsSync(join(node.home, 'active')), 'what is not bound is not stopped');
});

test('what failed is shown by the next daemon too, with its time, until it is well again', async (context) => {
  const {node} = context;
  await create(node, {'systemd-unit': 'web.target'});
  node.steer('start-fails', '1');
  hook(node, 'after-primary', 'exit 1');
  await change(node, 'primary');
  const before = await messages(node);
  assert.equal(before.map(({code}) => code).sort(), ['HOOK_FAILED', 'SERVICE_FAILED']);
  context.node = await node.restart();
  assert.equal(await messages(context.node), before);
  context.node.steer('start-fails', undefined);
  hook(context.node, 'after-primary', 'exit 0');
  await change(context.node, 'secondary');
  await change(context.node, 'primary');
  assert.equal(await messages(context.node), []);
  context.node = await context.node.restart();
  assert.equal(await messages(context.node), []);
});

test('names that are no units are refused', async ({node}) => {
  await create(node);
  for (const unit of ['web', '-a.service', '../x.service', 'a b.service', 'a.device']) {
    const body = {settings: {'systemd-unit': unit}};
    await rejectsWith('KEY_UNKNOWN', node.call('POST', 'resources/web/set', body));
  }
});

test.run();
