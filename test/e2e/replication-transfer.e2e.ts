/**
 * What goes over a link, counted by the proxy in it: less with compression, no more than a limit
 * allows, and all that wants to go over a limited link gets its share.
 */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {parsePosition} from '../../src/core/position.js';
import {Cluster} from '../helpers/cluster.js';
import {randomFile, writeDisk} from '../helpers/disk-io.js';
import {until} from '../helpers/run.js';

const MIB = 1024 * 1024;
const LIMIT = 2 * MIB;
/** Of the bucket, and the piece that may be larger than it. */
const BURST = LIMIT / 4 + MIB;
/** Of TLS, frames, and what is not limited: marks, facts. */
const OVERHEAD = 1.05;

const cluster = new Cluster(['alpha', 'beta']);

test.before(async () => {
  await cluster.start();
  await cluster.createResource('alpha', 'one', '64M');
  await cluster.joinResource('beta', 'one');
});

test.after(() => cluster.dispose());

/** Log and image go from alpha to beta on connections that beta opens. */
function sentBytes(): number {
  return cluster.link('beta', 'alpha').statistics().back;
}

function setBeta(setting: string): Promise<string> {
  return cluster.node('alpha').mars('peer', 'set', 'beta', setting);
}

async function fill(name: string, source: string): Promise<void> {
  await writeDisk(source, cluster.node('alpha').device(name), ['conv=notrunc,fsync']);
}

async function receivedOf(name: string): Promise<number> {
  const status = await cluster.node('beta').diskStatus(name);
  const sync = status?.follow?.sync;
  if (status?.follow?.phase === 'syncing') return sync?.doneBytes ?? 0;
  return parsePosition(status?.position ?? '') ?? 0;
}

test('what can be compressed goes compressed, and comes out as it was', async () => {
  const text = path.join(cluster.node('alpha').directory, 'text.bin');
  const line = 'INSERT INTO orders VALUES (17, now(), 3.50, false);\n';
  fs.writeFileSync(text, Buffer.alloc(16 * MIB, line));
  await setBeta('compression=gzip');
  const before = sentBytes();
  await fill('one', text);
  await cluster.equalImages('one');
  const sent = sentBytes() - before;
  assert.ok(sent < 4 * MIB, `${sent} bytes for 16 MiB of text`);
  const {members} = await cluster
    .node('alpha')
    .json<{members: {name: string; compression: string}[]}>('peer', 'list');
  assert.is(members.find(({name}) => name === 'beta')?.compression, 'gzip');
  await setBeta('compression=none');
});

test('a limit holds for a stream that runs, and ends with the wish', async () => {
  const noise = randomFile(cluster.node('alpha'), 'noise.bin', 32);
  await setBeta(`bandwidth-limit=${LIMIT}`);
  const [began, before] = [performance.now(), sentBytes()];
  await fill('one', noise);
  await cluster.wait('6 MiB through the limit', 60_000, () =>
    Promise.resolve(sentBytes() - before > 6 * MIB),
  );
  const seconds = (performance.now() - began) / 1000;
  const sent = sentBytes() - before;
  const most = (seconds * LIMIT + BURST) * OVERHEAD;
  assert.ok(sent <= most, `${sent} bytes in ${seconds} s, ${most} at most`);
  await setBeta('bandwidth-limit=none');
  await cluster.equalImages('one', 60_000);
});

test('two logs and a copy share a limited link, and calls do not wait for them', async () => {
  const noise = path.join(cluster.node('alpha').directory, 'noise.bin');
  await cluster.createResource('alpha', 'two', '64M');
  await cluster.joinResource('beta', 'two');
  await cluster.createResource('alpha', 'three', '64M');
  await fill('three', noise);
  await setBeta(`bandwidth-limit=${LIMIT}`);
  await Promise.all([fill('one', noise), fill('two', noise)]);
  await cluster.wait('beta to join a third resource', 20_000, async () => {
    return (await cluster.node('beta').tryMars('resource', 'join', 'three')).status === 0;
  });
  await until(
    async () => (await cluster.node('beta').diskStatus('three'))?.follow?.phase === 'syncing',
    20_000,
    'begin of the copy',
  );
  const names = ['one', 'two', 'three'];
  const before = await Promise.all(names.map(receivedOf));
  const sentBefore = sentBytes();
  await cluster.wait('9 MiB through the limit', 60_000, () =>
    Promise.resolve(sentBytes() - sentBefore > 9 * MIB),
  );
  const after = await Promise.all(names.map(receivedOf));
  const shares = names.map((name, at) => ({
    name,
    bytes: (after[at] ?? 0) - (before[at] ?? 0),
  }));
  // A third each; pieces of a MiB and what is under way leave it within these bounds.
  for (const {name, bytes} of shares) {
    assert.ok(bytes >= 1.5 * MIB, `${name} got ${bytes}: ${JSON.stringify(shares)}`);
  }

  assert.is((await cluster.replica('alpha', 'beta', 'one'))?.link, 'up');
  assert.is((await cluster.replica('beta', 'alpha', 'one'))?.link, 'up');
  await setBeta('bandwidth-limit=none');
  for (const name of names) await cluster.equalImages(name, 90_000);
});

test.run();
