/** Roles on two real nodes: handed over, refused, forced; and a fork that is seen and resolved. */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ForkView, ResourceView} from '../../src/control/api.js';
import {Cluster} from '../helpers/cluster.js';
import {run} from '../helpers/run.js';
import type {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const cluster = new Cluster(['alpha', 'beta']);
let alpha: TempHome;
let beta: TempHome;

test.before(async () => {
  await cluster.start();
  alpha = cluster.node('alpha');
  beta = cluster.node('beta');
  await cluster.createResource('alpha', 'web01', '32M');
  await write(alpha, randomBytes(4 * MIB));
  await cluster.joinResource('beta', 'web01');
});
test.after(() => cluster.dispose());

async function write(node: TempHome, data: Buffer, offsetMib = 0): Promise<void> {
  const source = path.join(node.directory, 'source');
  fs.writeFileSync(source, data);
  const of = [`of=${node.device('web01')}`, `seek=${offsetMib}`];
  await run('dd', [`if=${source}`, ...of, 'bs=1M', 'oflag=direct', 'conv=fsync']);
}

async function read(node: TempHome, mebibytes: number): Promise<Buffer> {
  const copy = path.join(node.directory, 'copy');
  const count = `count=${mebibytes}`;
  await run('dd', [`if=${node.device('web01')}`, `of=${copy}`, 'bs=1M', 'iflag=direct', count]);
  return fs.readFileSync(copy);
}

async function roleIs(node: TempHome, role: string, deadlineMs = 20_000): Promise<void> {
  await cluster.wait(`${node.name} to be ${role}`, deadlineMs, async () => {
    return (await node.status('web01')).role === role;
  });
}

function hasEvent(node: TempHome, code: string): boolean {
  return fs.readFileSync(path.join(node.home, 'events.jsonl'), 'utf8').includes(`"${code}"`);
}

async function refused(node: TempHome, code: string, ...words: string[]): Promise<string> {
  const result = await node.tryMars(...words);
  assert.is.not(result.status, 0, words.join(' '));
  const text = result.stdout + result.stderr;
  assert.match(text, code);
  return text;
}

test('the role goes to and fro with every byte', async () => {
  const data = randomBytes(2 * MIB);
  await write(alpha, data);
  await beta.mars('primary', 'web01', '--timeout', '30');
  assert.ok((await read(beta, 2)).equals(data));
  await roleIs(alpha, 'secondary');
  const more = randomBytes(3 * MIB);
  await write(beta, more, 1);
  await cluster.caughtUp('web01', 'beta', 'alpha', 20_000);
  await alpha.mars('primary', 'web01', '--timeout', '30');
  assert.ok((await read(alpha, 4)).equals(Buffer.concat([data.subarray(0, MIB), more])));
  await roleIs(beta, 'secondary');
  await cluster.equalImages('web01');
});

test('in use: refused with who, and nothing has changed', async () => {
  const fd = fs.openSync(alpha.device('web01'), 'r');
  try {
    const text = await refused(beta, 'RESOURCE_BUSY', 'primary', 'web01', '--timeout', '20');
    assert.match(text, String(process.pid));
  } finally {
    fs.closeSync(fd);
  }

  await roleIs(alpha, 'primary');
  await write(alpha, randomBytes(MIB));
  assert.is((await beta.status('web01')).role, 'secondary');
});

test('secondary, then nobody is primary, then the other one', async () => {
  await alpha.mars('secondary', 'web01');
  await roleIs(alpha, 'secondary');
  await beta.mars('primary', 'web01', '--timeout', '30');
  await roleIs(beta, 'primary');
  await alpha.mars('primary', 'web01', '--timeout', '30');
  await roleIs(alpha, 'primary');
});

test('cut off: refused without force; forced on both sides a fork, seen by both, resolved', async () => {
  await cluster.caughtUp('web01', 'alpha', 'beta', 20_000);
  cluster.setLink('alpha', 'beta', 'cut');
  const text = await refused(beta, 'PRIMARY_AWAY', 'primary', 'web01', '--timeout', '15');
  assert.match(text, '--force');
  const view = await beta.json<ResourceView>('primary', 'web01', '--force', '--timeout', '30');
  const notes = view.notes?.join('; ') ?? '';
  assert.match(notes, /alpha was last heard of on .*since is unknown/u);
  await roleIs(beta, 'forcedPrimary');
  assert.ok(hasEvent(beta, 'FORCED_PRIMARY'));
  await write(alpha, randomBytes(MIB), 8);
  const kept = randomBytes(2 * MIB);
  await write(beta, kept, 0);
  cluster.setLink('alpha', 'beta', 'open');
  for (const node of [alpha, beta]) {
    await cluster.wait(`${node.name} to see the fork`, 40_000, async () => {
      const {messages} = await node.status('web01');
      return messages.some(({code}) => code === 'SPLIT_BRAIN');
    });
  }

  const fork = await beta.json<ForkView>('fork', 'show', 'web01');
  assert.ok(fork.forked && fork.position !== null);
  assert.ok(fork.sides.every(({ownBytes}) => (ownBytes ?? 0) > MIB / 2));
  await refused(alpha, 'RESOURCE_PRIMARY', 'fork', 'resolve', 'web01', '--keep', 'beta', '--yes');
  await alpha.mars('secondary', 'web01');
  await cluster.wait('alpha to be Forked', 30_000, async () => {
    return (await alpha.status('web01')).state === 'Forked';
  });
  await refused(alpha, 'SPLIT_BRAIN', 'primary', 'web01', '--timeout', '10');
  await refused(alpha, 'CONFIRM_NEEDED', 'fork', 'resolve', 'web01', '--keep', 'beta');
  await alpha.mars('fork', 'resolve', 'web01', '--keep', 'beta', '--yes');
  await cluster.equalImages('web01', 60_000);
  assert.ok((await read(beta, 2)).equals(kept));
  assert.is(fs.readdirSync(path.join(alpha.home, 'resources/web01/forks')).length, 1);
  await alpha.mars('primary', 'web01', '--timeout', '30');
  await roleIs(alpha, 'primary');
  assert.ok((await read(alpha, 2)).equals(kept));
});

test('an old primary that comes back with nothing of its own follows', async () => {
  cluster.setLink('alpha', 'beta', 'open');
  await cluster.caughtUp('web01', 'alpha', 'beta', 20_000);
  const {pid, holderPid} = await alpha.diskProcesses('web01');
  await alpha.killDaemon();
  for (const each of [holderPid, pid]) process.kill(each, 'SIGKILL');
  await beta.mars('primary', 'web01', '--force', '--timeout', '30');
  await write(beta, randomBytes(MIB));
  await alpha.startDaemon();
  await roleIs(alpha, 'secondary', 30_000);
  assert.ok(hasEvent(alpha, 'SUPERSEDED'));
  await cluster.equalImages('web01', 60_000);
});

test.run();
