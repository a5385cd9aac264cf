/** T12, F20: three nodes; another replica stands in where the primary cannot be reached. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {killAll} from '../helpers/chaos.js';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, randomFile, writeDisk} from '../helpers/disk-io.js';
import {Fio} from '../helpers/fio.js';

const MIB = 1024 * 1024;
const NAME = 'web01';

const cluster = new Cluster(['alpha', 'beta', 'gamma']);
let device: string;

test.before(async () => {
  await cluster.start();
  device = await cluster.createResource('alpha', NAME, '64M');
});

test.after(() => cluster.dispose());

test('T12: two replicas follow one primary under load', async () => {
  await Promise.all([cluster.joinResource('beta', NAME), cluster.joinResource('gamma', NAME)]);
  const fio = new Fio(device, {bytesPerSecond: 4 * MIB, seconds: 5});
  const report = await fio.report(30_000);
  assert.is(report.error, 0);
  await cluster.equalImages(NAME);
  for (const of of ['beta', 'gamma']) {
    assert.is((await cluster.replica('alpha', of, NAME))?.state, 'UpToDate');
  }
});

test('F20: cut off from the primary, gamma fetches from beta', async () => {
  cluster.setLink('alpha', 'gamma', 'cut');
  const source = randomFile(cluster.node('alpha'), 'source.bin', 8);
  await writeDisk(source, device, ['seek=8', 'conv=notrunc,fsync']);
  await cluster.equalImages(NAME, 60_000);
  cluster.setLink('alpha', 'gamma', 'open');
});

test('F20: a primary that is alive but slow for gamma gives way to beta', async () => {
  const wire = cluster.link('gamma', 'alpha');
  wire.bytesPerSecond = 128 * 1024;
  const source = randomFile(cluster.node('alpha'), 'slow.bin', 16);
  await writeDisk(source, device, ['seek=16', 'conv=notrunc,fsync']);
  // Over the slow link it would take two minutes. Later, with nothing to fetch, it may ask alpha again.
  await cluster.wait('gamma to fetch from beta', 60_000, async () => {
    return (await cluster.status('gamma', NAME)).follow?.source === 'beta';
  });
  await cluster.equalImages(NAME, 60_000);
  wire.bytesPerSecond = 0;
});

test('the log waits for gamma while it is away, and for nobody after it left', async () => {
  await cluster.node('gamma').mars('fetch', 'pause', NAME);
  const fio = new Fio(device, {bytesPerSecond: 12 * MIB, seconds: 3});
  assert.is((await fio.report(30_000)).error, 0);
  await cluster.caughtUp(NAME, 'alpha', 'beta', 30_000);
  const kept = (await cluster.status('alpha', NAME)).log.files;
  assert.ok(kept >= 6, `alpha keeps ${kept} logfiles for gamma`);
  await cluster.node('gamma').mars('fetch', 'resume', NAME);
  await cluster.equalImages(NAME);
  await cluster.wait('few logfiles on alpha', 20_000, async () => {
    return (await cluster.status('alpha', NAME)).log.files <= 4;
  });
});

test('handover alpha to beta: gamma goes on with the new primary', async () => {
  await cluster.node('beta').mars('primary', NAME);
  const source = randomFile(cluster.node('beta'), 'source.bin', 4);
  await writeDisk(source, cluster.node('beta').device(NAME), ['seek=30', 'conv=notrunc,fsync']);
  await cluster.equalImages(NAME);
  assert.is((await cluster.status('gamma', NAME)).designatedPrimary, 'beta');
});

test('beta dies; gamma takes over by force, alpha follows it, and so does beta when it is back', async () => {
  await cluster.equalImages(NAME);
  await killAll(cluster.node('beta'), NAME);
  await cluster.node('gamma').mars('primary', NAME, '--force');
  const device = cluster.node('gamma').device(NAME);
  const source = randomFile(cluster.node('gamma'), 'source.bin', 4);
  await writeDisk(source, device, ['seek=40', 'conv=notrunc,fsync']);
  await cluster.caughtUp(NAME, 'gamma', 'alpha', 30_000);
  await cluster.node('beta').startDaemon();
  await cluster.equalImages(NAME);
  assert.is(await hashOf(device, 4, 40), await hashOf(source, 4));
});

test.run();
