/** Two nodes: joining, the first copy, following, lag, pauses; the images are compared each time. */
import {createHash} from 'node:crypto';
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import {Fio} from '../helpers/fio.js';
import {run} from '../helpers/run.js';

const MIB = 1024 * 1024;
const POSITION = /^[0-9a-f]{16}$/u;

const cluster = new Cluster(['alpha', 'beta']);
let device: string;

test.before(() => cluster.start());

test.after(() => cluster.dispose());

test('a token joins two nodes: each lists the other, and the token works once', async () => {
  const [alpha, beta] = cluster.nodes;
  assert.ok(alpha && beta);
  const ids = await Promise.all(
    cluster.nodes.map(async (node) => (await node.json<{cluster: string}>('status')).cluster),
  );
  assert.is(ids[0], ids[1]);
  assert.match(await alpha.mars('peer', 'list'), 'beta');
  assert.match(await beta.mars('peer', 'list'), 'alpha');
  const {token} = await alpha.json<{token: string}>('peer', 'invite');
  const again = await beta.tryMars('peer', 'join', token);
  assert.ok([0, 3].includes(again.status ?? -1), 'it is a member already');
  const cut = await beta.tryMars('peer', 'join', token.slice(0, -4));
  assert.ok([2, 3].includes(cut.status ?? -1), cut.stderr);
});

test('a first copy brings data and holes, and then wait synced returns', async () => {
  device = await cluster.createResource('alpha', 'web01', '128M');
  const alpha = cluster.node('alpha');
  const source = randomFile(alpha, 'source.bin', 24);
  await writeDisk(source, device);
  await writeDisk(source, device, ['seek=100', 'conv=notrunc,fsync']);
  await run('blkdiscard', ['-o', String(4 * MIB), '-l', String(8 * MIB), device]);
  await cluster.joinResource('beta', 'web01');
  await cluster.equalImages('web01');
  const beta = cluster.node('beta');
  const {blocks, size} = fs.statSync(imageBehind(beta, 'web01'));
  assert.is(size, 128 * MIB);
  assert.ok(blocks * 512 < 48 * MIB, `${blocks * 512} bytes for 40 MiB of data`);
  assert.is(await hashOf(imageBehind(beta, 'web01'), 24, 100), await hashOf(source, 24));
});

test('what is written while beta follows arrives, through many logfiles', async () => {
  const before = (await cluster.node('beta').diskStatus('web01'))?.log.currentFile;
  const fio = new Fio(device, {bytesPerSecond: 8 * MIB, seconds: 6});
  const report = await fio.report(30_000);
  assert.is(report.error, 0);
  assert.ok(report.writtenBytes > 16 * MIB);
  await cluster.equalImages('web01');
  const after = (await cluster.node('beta').diskStatus('web01'))?.log.currentFile;
  assert.ok(after && after !== before, 'the log of beta rotates');
  await cluster.node('beta').mars('log', 'verify', 'web01');
});

test('discards and zeros arrive as such', async () => {
  await run('blkdiscard', ['-o', String(100 * MIB), '-l', String(24 * MIB), device]);
  await run('blkdiscard', ['-z', '-o', String(MIB), '-l', String(2 * MIB), device]);
  await cluster.equalImages('web01');
  const zeros = createHash('sha256').update(Buffer.alloc(24 * MIB));
  const image = imageBehind(cluster.node('beta'), 'web01');
  assert.is(await hashOf(image, 24, 100), zeros.digest('hex'));
});

test('status of both nodes has the replicas in the documented shape', async () => {
  await cluster.equalImages('web01');
  await cluster.wait('UpToDate on both nodes', 20_000, async () => {
    const both = await Promise.all(['alpha', 'beta'].map((on) => cluster.status(on, 'web01')));
    return both.every(({state, health}) => state === 'UpToDate' && health === 'ok');
  });
  const onAlpha = await cluster.status('alpha', 'web01');
  const onBeta = await cluster.status('beta', 'web01');
  assert.is(onAlpha.role, 'primary');
  assert.is(onBeta.role, 'secondary');
  assert.is(onAlpha.designatedPrimary, 'alpha');
  assert.is(onBeta.designatedPrimary, 'alpha');
  assert.is(onBeta.image, null);
  assert.is(onBeta.device, null);
  assert.is(onBeta.position, onAlpha.position);
  assert.is(onBeta.epoch, onAlpha.epoch);
  for (const [on, of] of [
    ['alpha', 'beta'],
    ['beta', 'alpha'],
  ] as const) {
    const replica = await cluster.replica(on, of, 'web01');
    assert.ok(replica, `${on} shows the replica on ${of}`);
    assert.is(replica.link, 'up');
    assert.is(replica.state, 'UpToDate');
    assert.type(replica.replication, 'string');
    for (const position of [replica.received, replica.durable, replica.replayed]) {
      assert.match(position ?? '', POSITION);
    }

    assert.ok('since' in replica && 'waitingFor' in replica);
    assert.is(replica.sync, null);
  }

  const replica = await cluster.replica('alpha', 'beta', 'web01');
  assert.is(replica?.durable, onAlpha.position);
  assert.is(replica?.replayed, onAlpha.position);
  assert.is(replica?.lagBytes, 0);
  assert.ok((replica?.lagSeconds ?? 99) < 5);
  assert.not.match(JSON.stringify(onBeta.replicas), '"node":"gamma"');
});

test('T3: fetch paused: the lag is seen in bytes and seconds, and goes back to 0', async () => {
  const beta = cluster.node('beta');
  await beta.mars('fetch', 'pause', 'web01');
  const paused = (await beta.diskStatus('web01'))?.position;
  const source = randomFile(cluster.node('alpha'), 'lag.bin', 8);
  await writeDisk(source, device, ['seek=40', 'conv=notrunc,fsync']);
  await cluster.wait('the lag of beta on alpha', 20_000, async () => {
    const replica = await cluster.replica('alpha', 'beta', 'web01');
    return (replica?.lagBytes ?? 0) >= 8 * MIB && (replica?.lagSeconds ?? 0) >= 1;
  });
  assert.is((await beta.diskStatus('web01'))?.position, paused);
  assert.match((await cluster.status('beta', 'web01')).state, /OutDated\[F/u);
  await beta.mars('fetch', 'resume', 'web01');
  await cluster.equalImages('web01');
  await cluster.wait('the end of the lag', 20_000, async () => {
    const replica = await cluster.replica('alpha', 'beta', 'web01');
    return replica?.lagBytes === 0 && (replica.lagSeconds ?? 99) < 2;
  });
});

test('T3: replay paused: fetch goes on, the image waits, and catches up', async () => {
  const beta = cluster.node('beta');
  await beta.mars('replay', 'pause', 'web01');
  const before = await beta.diskStatus('web01');
  const source = randomFile(cluster.node('alpha'), 'replay.bin', 8);
  await writeDisk(source, device, ['seek=60', 'conv=notrunc,fsync']);
  await cluster.caughtUp('web01', 'alpha', 'beta', 20_000);
  const after = await beta.diskStatus('web01');
  assert.is(after?.replayed, before?.replayed);
  assert.not.equal(after?.position, before?.position);
  await cluster.wait('OutDated[R] on beta', 10_000, async () => {
    return (await cluster.status('beta', 'web01')).state === 'OutDated[R]';
  });
  await beta.mars('replay', 'resume', 'web01');
  await cluster.equalImages('web01');
  assert.is(await hashOf(imageBehind(beta, 'web01'), 8, 60), await hashOf(source, 8));
});

test('T6: beta leaves, alpha lets its log go, and beta joins again', async () => {
  const [alpha, beta] = [cluster.node('alpha'), cluster.node('beta')];
  await beta.mars('resource', 'leave', 'web01', '--yes');
  const list = await beta.mars('resource', 'list');
  assert.not.match(list, 'web01');
  await cluster.wait('alpha to forget the replica on beta', 20_000, async () => {
    return (await cluster.replica('alpha', 'beta', 'web01')) === undefined;
  });
  const fio = new Fio(device, {bytesPerSecond: 16 * MIB, seconds: 3});
  assert.is((await fio.report(30_000)).error, 0);
  await alpha.replayed('web01', 30_000);
  await cluster.wait('few logfiles on alpha', 20_000, async () => {
    const {log} = await cluster.status('alpha', 'web01');
    return log.files <= 3;
  });
  await cluster.joinResource('beta', 'web01');
  await cluster.equalImages('web01');
});

test.run();
