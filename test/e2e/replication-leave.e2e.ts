/** T7, T8, F30, F34: who leaves, dies, or does not let go while others go on; and rotations in between. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceStatus} from '../../src/control/api.js';
import {resourcePaths} from '../../src/core/home.js';
import {killAll} from '../helpers/chaos.js';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, randomFile, writeDisk} from '../helpers/disk-io.js';
import type {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const NAME = 'web01';
const DATA_MIB = 32;

const cluster = new Cluster(['alpha', 'beta', 'gamma']);
let alpha: TempHome;
let beta: TempHome;
let gamma: TempHome;
let device: string;

test.before(async () => {
  await cluster.start();
  [alpha, beta, gamma] = [cluster.node('alpha'), cluster.node('beta'), cluster.node('gamma')];
  device = await cluster.createResource('alpha', NAME, '64M');
  await write(alpha, 'first.bin', DATA_MIB, 0);
});
test.after(() => cluster.dispose());

/** Writes random bytes to a primary; returns their hash. */
async function write(node: TempHome, file: string, mib: number, seekMib: number): Promise<string> {
  const source = randomFile(node, file, mib);
  await writeDisk(source, node.device(NAME), [`seek=${seekMib}`, 'conv=notrunc,fsync']);
  return hashOf(source, mib);
}

/** Rotates the log of a primary again and again, for as long as `work` takes. */
async function whileRotating(on: TempHome, work: () => Promise<unknown>): Promise<void> {
  const over = new AbortController();
  let rotated = 0;
  const rotating = (async () => {
    while (!over.signal.aborted) {
      // Refused while the role is on its way: that is no failure here.
      if ((await on.tryMars('log', 'rotate', NAME)).status === 0) rotated += 1;
    }
  })();
  try {
    await cluster.wait('the first rotation', 20_000, () => Promise.resolve(rotated > 0));
    await work();
  } finally {
    over.abort();
    await rotating;
  }
}

function slotsOf(node: TempHome): string[] {
  const {slotsFile} = resourcePaths(node.home, NAME);
  const {slots} = JSON.parse(fs.readFileSync(slotsFile, 'utf8')) as {slots: object};
  return Object.values(slots as Record<string, {name: string}>).map(({name}) => name);
}

/** What a handover that failed must leave as it was. */
function standing(status: ResourceStatus): object {
  const {role, designatedPrimary, state, device: link, image, epoch, mode} = status;
  return {role, designatedPrimary, state, link, image, epoch, mode};
}

async function standings(): Promise<object[]> {
  const both = await Promise.all([alpha, beta].map((node) => node.status(NAME)));
  return both.map((status) => standing(status));
}

test('T7, first half: gamma leaves while it is cut off from all, and has no replica any more', async () => {
  await cluster.joinResource('gamma', NAME);
  for (const other of ['alpha', 'beta']) cluster.setLink('gamma', other, 'cut');
  await gamma.mars('resource', 'leave', NAME, '--yes');
  assert.not.match(await gamma.mars('resource', 'list'), NAME);
  assert.not(fs.existsSync(resourcePaths(gamma.home, NAME).resourceFile));
  await write(alpha, 'alone.bin', 4, 40);
  assert.equal(slotsOf(alpha), ['gamma'], 'alpha does not know yet');
});

test('T8: beta leaves in the middle of its first copy with the link cut, and copies anew later', async () => {
  const wire = cluster.link('beta', 'alpha');
  wire.bytesPerSecond = 8 * MIB;
  const before = wire.statistics().back;
  await beta.mars('resource', 'join', NAME);
  await cluster.wait('half of the copy', 40_000, () =>
    Promise.resolve(wire.statistics().back - before > (DATA_MIB / 2) * MIB),
  );
  assert.is((await beta.status(NAME)).state, 'Syncing');
  cluster.setLink('alpha', 'beta', 'cut');
  await beta.mars('resource', 'leave', NAME, '--yes');
  assert.not.match(await beta.mars('resource', 'list'), NAME);
  await write(alpha, 'meanwhile.bin', 2, 50);
  cluster.setLink('alpha', 'beta', 'open');
  wire.bytesPerSecond = 0;
});

test('F30: a join and its copy go on while the log is rotated all the time', async () => {
  await whileRotating(alpha, async () => {
    await cluster.joinResource('beta', NAME);
    await write(alpha, 'rotated.bin', 4, 20);
  });
  await cluster.caughtUp(NAME, 'alpha', 'beta', 30_000);
  await equalPair();
  await beta.mars('log', 'verify', NAME);
});

/** As equalImages, without gamma. */
async function equalPair(): Promise<void> {
  const images = [alpha, beta].map((node) => resourcePaths(node.home, NAME).image);
  await cluster.wait('all replayed on alpha and beta', 30_000, async () => {
    const both = await Promise.all([alpha, beta].map((node) => node.diskStatus(NAME)));
    return both.every(
      (disk) =>
        disk !== undefined &&
        disk.replayed === both[0]?.position &&
        disk.position === both[0].position,
    );
  });
  const [one, other] = await Promise.all(images.map((image) => hashOf(image, 64)));
  assert.is(one, other);
}

test('F30: the role goes to and fro while the log is rotated all the time', async () => {
  const written = await write(alpha, 'handed.bin', 2, 24);
  await whileRotating(alpha, () => beta.mars('primary', NAME, '--timeout', '40'));
  assert.is(await hashOf(beta.device(NAME), 2, 24), written);
  const more = await write(beta, 'back.bin', 2, 26);
  await whileRotating(beta, () => alpha.mars('primary', NAME, '--timeout', '40'));
  device = alpha.device(NAME);
  assert.is(await hashOf(device, 2, 24), written);
  assert.is(await hashOf(device, 2, 26), more);
  await equalPair();
});

test('F34: the application goes on writing: refused with who it is, and all is as before', async () => {
  await cluster.wait('both to be well', 20_000, async () => {
    const both = await Promise.all([alpha, beta].map((node) => node.status(NAME)));
    return both.every(({state}) => state === 'UpToDate');
  });
  const before = await standings();
  const fd = fs.openSync(device, 'r+');
  try {
    const refused = await beta.tryMars('primary', NAME, '--timeout', '20');
    assert.is(refused.status, 3, refused.stderr);
    assert.match(refused.stderr, 'RESOURCE_BUSY');
    assert.match(refused.stderr, String(process.pid));
    fs.writeSync(fd, Buffer.alloc(4096, 7), 0, 4096, 0);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }

  assert.equal(await standings(), before);
  await equalPair();
});

test('a handover that alpha cannot write down: it is primary again, device and all, and both say why', async () => {
  const before = await standings();
  const obstacle = `${resourcePaths(alpha.home, NAME).grantFile}.tmp`;
  fs.mkdirSync(path.join(obstacle, 'kept'), {recursive: true});
  try {
    const failed = await beta.tryMars('primary', NAME, '--timeout', '30');
    assert.not.equal(failed.status, 0);
    assert.match(failed.stderr, 'HANDOVER_FAILED');
    assert.match(failed.stderr, 'grant.json');
  } finally {
    fs.rmSync(obstacle, {recursive: true});
  }

  await cluster.wait(
    'alpha to be primary with its device, and beta to follow',
    30_000,
    async () => {
      const now = (await standings()) as {epoch: string}[];
      // What was ended once goes on in a new epoch: nothing else may differ.
      const epochs = now.map(({epoch}) => epoch);
      return (
        epochs[0] === epochs[1] &&
        JSON.stringify(now.map((each) => ({...each, epoch: 0}))) ===
          JSON.stringify(before.map((each) => ({...each, epoch: 0})))
      );
    },
  );
  await write(alpha, 'after-failure.bin', 1, 30);
  await equalPair();
  await beta.mars('primary', NAME, '--timeout', '40');
  await alpha.mars('primary', NAME, '--timeout', '40');
});

test('the other daemon is stopped (SIGSTOP): the handover gives up in time, and alpha stays primary', async () => {
  await equalPair();
  const pid = alpha.daemonPid ?? 0;
  process.kill(pid, 'SIGSTOP');
  try {
    const failed = await beta.tryMars('primary', NAME, '--timeout', '8');
    assert.ok([3, 4, 5].includes(failed.status ?? -1), failed.stderr);
    assert.match(failed.stderr, 'alpha');
    await write(alpha, 'stopped.bin', 1, 32);
  } finally {
    process.kill(pid, 'SIGCONT');
  }

  await cluster.wait('alpha to be primary with its device', 40_000, async () => {
    const [one, other] = await Promise.all([alpha.status(NAME), beta.status(NAME)]);
    return one.role === 'primary' && one.device !== null && other.role === 'secondary';
  });
  await write(alpha, 'going-on.bin', 1, 33);
  await equalPair();
});

test('T7, second half: alpha hears that gamma has left, and lets its log go', async () => {
  for (const other of ['alpha', 'beta']) cluster.setLink('gamma', other, 'open');
  await cluster.wait('alpha to forget the replica on gamma', 90_000, async () => {
    const {replicas, log} = await alpha.status(NAME);
    return replicas.every(({node}) => node !== 'gamma') && log.files <= 4;
  });
  assert.equal(slotsOf(alpha), ['beta']);
  await cluster.joinResource('gamma', NAME);
  await cluster.equalImages(NAME);
});

test('a dead member is removed by force: nobody keeps log for it any more', async () => {
  await killAll(gamma, NAME);
  for (const round of [0, 1]) await write(alpha, `dead-${round}.bin`, 12, 12 * round);
  await cluster.caughtUp(NAME, 'alpha', 'beta', 30_000);
  await alpha.replayed(NAME, 20_000);
  assert.ok(slotsOf(alpha).includes('gamma'));
  const kept = (await alpha.status(NAME)).log;
  assert.ok(kept.files >= 6, `alpha keeps ${kept.files} logfiles for gamma`);
  const refused = await alpha.tryMars('peer', 'remove', 'gamma');
  assert.is(refused.status, 3, refused.stderr);
  await alpha.mars('peer', 'remove', 'gamma', '--force');
  for (const node of [alpha, beta]) {
    await cluster.wait(`${node.name} to let the log of gamma go`, 40_000, async () => {
      const {log, replicas} = await node.status(NAME);
      return log.files <= 4 && replicas.every(({node: name}) => name !== 'gamma');
    });
    assert.not(slotsOf(node).includes('gamma'));
    assert.not.match(await node.mars('peer', 'list'), 'gamma');
  }

  const {bytes} = (await alpha.status(NAME)).log;
  assert.ok(bytes < kept.bytes, `${bytes} bytes of log instead of ${kept.bytes}`);
  await write(alpha, 'two.bin', 1, 34);
  await equalPair();
});

test.run();
