/**
 * T16, F35, F44: a link that is cut, half-open, slow or lies, and processes that are killed, all
 * under one load. The writer on alpha has no error and no stall through all of it, and at the end
 * the images are equal.
 */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Cluster} from '../helpers/cluster.js';
import {Fio} from '../helpers/fio.js';
import {until} from '../helpers/run.js';
import {killAndWait} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const NAME = 'web01';
const LOAD_BYTES_PER_SECOND = 2 * MIB;
const STALL_MS_MAX = 2000;

const cluster = new Cluster(['alpha', 'beta']);
let load: Fio | undefined;

test.before(async () => {
  await cluster.start();
  const device = await cluster.createResource('alpha', NAME, '96M');
  await cluster.joinResource('beta', NAME);
  load = new Fio(device, {bytesPerSecond: LOAD_BYTES_PER_SECOND});
});

test.after(async () => {
  load?.kill();
  await cluster.dispose();
});

async function position(on: string): Promise<string> {
  return (await cluster.node(on).diskStatus(NAME))?.position ?? '';
}

function linkOf(on: string, of: string): Promise<string | undefined> {
  return cluster.replica(on, of, NAME).then((replica) => replica?.link);
}

/** The load goes on; who asks for something of it first looks at that. */
async function follows(deadlineMs: number): Promise<void> {
  assert.ok(load?.running, 'the load goes on');
  await cluster.caughtUp(NAME, 'alpha', 'beta', deadlineMs);
}

async function moment(ms: number): Promise<void> {
  const start = performance.now();
  await until(() => performance.now() - start > ms, ms + 1000, 'moment');
}

test('connections go through the proxies', async () => {
  await cluster.wait('a MiB of log through the proxy', 20_000, () =>
    Promise.resolve(cluster.link('beta', 'alpha').statistics().back > MIB),
  );
  await follows(20_000);
});

test('T16: cut, beta stays where it is and says so; healed, it catches up', async () => {
  cluster.setLink('alpha', 'beta', 'cut');
  await cluster.wait('a link that is down on alpha', 25_000, async () => {
    return (await linkOf('alpha', 'beta')) === 'down';
  });
  const before = await position('beta');
  await cluster.wait('a link that is down on beta', 25_000, async () => {
    return (await linkOf('beta', 'alpha')) === 'down';
  });
  assert.is(await position('beta'), before);
  const onBeta = await cluster.status('beta', NAME);
  assert.not.equal(onBeta.health, 'ok');
  assert.ok(onBeta.messages.length > 0 || onBeta.waitingFor !== null, 'beta says what is wrong');
  cluster.setLink('alpha', 'beta', 'open');
  await follows(20_000);
  await cluster.wait('links that are up', 20_000, async () => {
    return (await linkOf('alpha', 'beta')) === 'up' && (await linkOf('beta', 'alpha')) === 'up';
  });
});

test('cut again and again, at once after it was healed', async () => {
  for (let round = 0; round < 8; round += 1) {
    cluster.setLink('alpha', 'beta', 'cut');
    await moment(100);
    cluster.setLink('alpha', 'beta', 'open');
    await moment(round * 150);
  }

  await follows(20_000);
});

test('F44: half-open is noticed within 20 s on both sides, and healed', async () => {
  cluster.setLink('alpha', 'beta', 'half-open');
  const noticed = await Promise.all(
    [['alpha', 'beta'] as const, ['beta', 'alpha'] as const].map(([on, of]) =>
      cluster.wait(`${on} to notice the half-open link`, 30_000, async () => {
        return (await linkOf(on, of)) === 'down';
      }),
    ),
  );
  for (const ms of noticed) assert.ok(ms < 20_000, `noticed after ${ms} ms`);
  cluster.setLink('alpha', 'beta', 'open');
  await follows(20_000);
});

test('F35: a flipped bit on the wire never reaches the replica', async () => {
  const wire = cluster.link('beta', 'alpha');
  for (const [direction, bytes] of [
    ['back', 300_000],
    ['back', 17],
    ['there', 40],
    ['back', 1_000_003],
  ] as const) {
    const before = wire.statistics().flipped;
    wire.flip(direction, bytes);
    await cluster.wait(`a flip ${bytes} bytes ${direction}`, 20_000, () =>
      Promise.resolve(wire.statistics().flipped > before),
    );
    await follows(20_000);
  }

  await cluster.node('beta').mars('log', 'verify', NAME);
});

test('P4: a link slower than the load only makes beta late', async () => {
  const wire = cluster.link('beta', 'alpha');
  wire.bytesPerSecond = LOAD_BYTES_PER_SECOND / 4;
  wire.delayMs = 100;
  await cluster.wait('a lag of some MiB', 30_000, async () => {
    const replica = await cluster.replica('alpha', 'beta', NAME);
    return (replica?.lagBytes ?? 0) > 4 * MIB;
  });
  const before = await position('beta');
  await cluster.wait(
    'progress all the same',
    10_000,
    async () => (await position('beta')) > before,
  );
  assert.is(await linkOf('alpha', 'beta'), 'up', 'slow is not dead');
  wire.bytesPerSecond = 0;
  wire.delayMs = 0;
  await follows(30_000);
});

for (const victim of ['alpha', 'beta'] as const) {
  test(`SIGKILL of the daemon of ${victim} in the middle`, async () => {
    await cluster.node(victim).killDaemon();
    await moment(1500);
    await cluster.node(victim).startDaemon();
    await follows(20_000);
  });
}

test('SIGKILL of the follow process of beta, in the middle, three times', async () => {
  const beta = cluster.node('beta');
  for (let round = 0; round < 3; round += 1) {
    const {pid} = await beta.diskProcesses(NAME);
    await killAndWait(pid);
    await cluster.wait('the next follow process', 20_000, async () => {
      const status = await beta.diskStatus(NAME);
      return status !== undefined && status.pid !== pid;
    });
    await follows(20_000);
  }
});

test('SIGKILL of everything on beta, as a power loss leaves it', async () => {
  const beta = cluster.node('beta');
  const {pid, holderPid} = await beta.diskProcesses(NAME);
  await beta.killDaemon();
  await Promise.all([killAndWait(holderPid), killAndWait(pid)]);
  await beta.startDaemon();
  await cluster.wait('a follow process', 20_000, async () => {
    return (await beta.diskStatus(NAME)) !== undefined;
  });
  await follows(20_000);
});

test('the log is let go on both nodes while all this goes on', async () => {
  for (const name of ['alpha', 'beta']) {
    await cluster.wait(`few logfiles on ${name}`, 20_000, async () => {
      const status = await cluster.node(name).diskStatus(NAME);
      return status !== undefined && status.log.files <= 8;
    });
  }
});

test('the writer had no error and no stall, and the images are equal', async () => {
  assert.ok(load);
  assert.ok(load.running, 'the load lasted');
  const report = await load.stop();
  process.stdout.write(
    `\n  slowest request ${report.latencyMsMax} ms, ${report.writtenBytes} bytes`,
  );
  assert.is(report.error, 0);
  assert.ok(report.latencyMsMax < STALL_MS_MAX, `a request took ${report.latencyMsMax} ms`);
  await cluster.equalImages(NAME);
  for (const node of cluster.nodes) await node.mars('log', 'verify', NAME);
});

test.run();
