/** Two nodes: a replica is joined, copied and follows; over restarts, pauses and a dead link. */
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {StatusDocument} from '../../src/control/api.js';
import {resourcePaths} from '../../src/core/home.js';
import {Cluster} from '../helpers/cluster.js';
import {Fio} from '../helpers/fio.js';

const NAME = 'web';

const cluster = new Cluster(['alpha', 'beta']);
let device = '';

test.before(async () => {
  await cluster.start();
  device = await cluster.createResource('alpha', NAME, '64M');
});
test.after(() => cluster.dispose());

/** Writes for a while; nothing of it may fail. */
async function load(seconds: number): Promise<void> {
  const report = await new Fio(device, {seconds}).report(60_000);
  assert.is(report.error, 0);
  assert.ok(report.writtenBytes > 0);
}

test('what another node has is shown, and can be joined', async () => {
  const beta = cluster.node('beta');
  await cluster.wait('beta to list web', 15_000, async () => {
    const {resources} = await beta.json<StatusDocument>('status');
    return resources.some(({name, state}) => name === NAME && state === 'NotJoined');
  });
  await load(1);
  await cluster.joinResource('beta', NAME);
  await cluster.equalImages(NAME);
});

test('a load on the primary is on the replica, image for image', async () => {
  await load(3);
  await cluster.equalImages(NAME);
  const status = await cluster.status('beta', NAME);
  assert.is(status.state, 'UpToDate');
  assert.is(status.designatedPrimary, 'alpha');
  await cluster.wait('alpha to see beta up to date', 15_000, async () => {
    const replica = await cluster.replica('alpha', 'beta', NAME);
    return replica?.state === 'UpToDate' && replica.lagBytes === 0 && replica.link === 'up';
  });
});

test('a paused fetch stands still, and catches up', async () => {
  const beta = cluster.node('beta');
  await beta.mars('fetch', 'pause', NAME);
  const before = (await beta.diskStatus(NAME))?.position;
  await load(1);
  const status = await cluster.status('beta', NAME);
  assert.is((await beta.diskStatus(NAME))?.position, before);
  assert.is(status.wishes?.fetchPaused, true);
  assert.is(status.follow?.replication, 'paused');
  assert.match(status.waitingFor?.reason ?? '', 'paused by wish');
  await cluster.wait('beta to know that it is behind', 15_000, async () => {
    return (await cluster.status('beta', NAME)).state.startsWith('OutDated[F');
  });
  await beta.mars('fetch', 'resume', NAME);
  await cluster.equalImages(NAME);
});

test('the slot on the primary follows the image of the replica', async () => {
  const {slotsFile} = resourcePaths(cluster.node('alpha').home, NAME);
  const end = (await cluster.node('beta').diskStatus(NAME))?.replayed;
  await cluster.wait('the slot in the file', 20_000, () => {
    const file = JSON.parse(fs.readFileSync(slotsFile, 'utf8')) as {
      slots: Record<string, {name: string; position: string}>;
    };
    return Promise.resolve(Object.values(file.slots).some(({position}) => position === end));
  });
});

test('daemons that are killed on both sides come back, and the replica catches up', async () => {
  const [alpha, beta] = cluster.nodes;
  assert.ok(alpha !== undefined && beta !== undefined);
  const fio = new Fio(device, {seconds: 6});
  await beta.killDaemon();
  await alpha.killDaemon();
  await alpha.startDaemon();
  await beta.startDaemon();
  assert.is((await fio.report(60_000)).error, 0);
  await cluster.equalImages(NAME);
});

test('a follow process that is killed comes back, and the replica catches up', async () => {
  const beta = cluster.node('beta');
  const fio = new Fio(device, {seconds: 4});
  const {pid} = await beta.diskProcesses(NAME);
  process.kill(pid, 'SIGKILL');
  assert.is((await fio.report(60_000)).error, 0);
  await cluster.equalImages(NAME);
});

test('a dead link is never green; afterwards the replica catches up', async () => {
  cluster.setLink('alpha', 'beta', 'half-open');
  await cluster.wait('both to see the link down', 40_000, async () => {
    const [there, here] = [
      await cluster.replica('alpha', 'beta', NAME),
      await cluster.replica('beta', 'alpha', NAME),
    ];
    return there?.link === 'down' && here?.link === 'down';
  });
  await load(1);
  const status = await cluster.status('beta', NAME);
  assert.match(status.state, /^OutDated\[F/u);
  assert.is.not(status.health, 'ok');
  assert.ok((status.follow?.lagSeconds ?? 0) >= 10);
  assert.is.not((await cluster.status('alpha', NAME)).health, 'ok');
  cluster.setLink('alpha', 'beta', 'open');
  await cluster.equalImages(NAME);
});

test('a replica that leaves takes its slot with it, and can join again', async () => {
  const beta = cluster.node('beta');
  const refused = await cluster.node('alpha').tryMars('resource', 'leave', NAME, '--yes');
  assert.is(refused.status, 3);
  assert.match(refused.stderr, 'REPLICAS_REMAIN');
  await beta.mars('resource', 'leave', NAME, '--yes');
  const {slotsFile} = resourcePaths(cluster.node('alpha').home, NAME);
  await cluster.wait('the slot to go', 15_000, () => {
    const {slots} = JSON.parse(fs.readFileSync(slotsFile, 'utf8')) as {slots: object};
    return Promise.resolve(Object.keys(slots).length === 0);
  });
  await load(1);
  await cluster.joinResource('beta', NAME);
  await cluster.equalImages(NAME);
});

test('F25: deleted and made anew while beta was away: beta says so, keeps what it has, and one command takes the new one', async () => {
  const [alpha, beta] = cluster.nodes;
  assert.ok(alpha !== undefined && beta !== undefined);
  await cluster.equalImages(NAME);
  await beta.killDaemon();
  await alpha.mars('secondary', NAME);
  await alpha.mars('resource', 'delete', NAME, '--yes');
  device = await cluster.createResource('alpha', NAME, '64M');
  await load(1);
  const {image, lineageFile} = resourcePaths(beta.home, NAME);
  const before = fs.readFileSync(lineageFile, 'utf8');
  await beta.startDaemon();
  await cluster.wait('beta to know that it has another resource', 30_000, async () => {
    const {messages} = await cluster.status('beta', NAME);
    return messages.some(({code}) => code === 'RESOURCE_REPLACED');
  });
  const status = await cluster.status('beta', NAME);
  assert.is(status.state, 'Orphan');
  assert.is(status.health, 'critical');
  assert.is(fs.readFileSync(lineageFile, 'utf8'), before, 'nothing of the new one came here');
  const looked = await beta.mars('resource', 'join', NAME, '--replace', '--dry-run');
  assert.match(looked, 'would remove');
  assert.is((await beta.tryMars('resource', 'join', NAME, '--replace')).status, 3);
  assert.ok(fs.existsSync(image));
  await beta.mars('resource', 'join', NAME, '--replace', '--yes');
  await cluster.equalImages(NAME);
  const {messages} = await cluster.status('beta', NAME);
  assert.not(messages.some(({code}) => code === 'RESOURCE_REPLACED'));
});

test.run();
