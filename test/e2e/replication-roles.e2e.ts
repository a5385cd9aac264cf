/** Who is primary: handover there and back, takeover by force, and what an old primary then does. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {createNodeFiles} from '../../src/core/files.js';
import {resourcePaths} from '../../src/core/home.js';
import {readResource} from '../../src/daemon/state.js';
import {RecordCursor} from '../../src/log/cursor.js';
import {readLogDirectory} from '../../src/log/directory.js';
import {withoutSuperseded} from '../../src/log/recovery.js';
import {SEGMENT_HEADER_BYTES} from '../../src/log/segment.js';
import {killAll} from '../helpers/chaos.js';
import {Cluster} from '../helpers/cluster.js';
import {eventsOf, hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import {syncedContent, writeSyncedFiles} from '../helpers/file-tree.js';
import {run} from '../helpers/run.js';

const MIB = 1024 * 1024;
const NAME = 'web01';

const cluster = new Cluster(['alpha', 'beta']);

test.before(async () => {
  await cluster.start();
  await cluster.createResource('alpha', NAME, '96M');
  await cluster.joinResource('beta', NAME);
});

test.after(() => cluster.dispose());

/** Writes fsynced files into a new directory of the file system of a primary; returns their names. */
async function addFiles(on: string, directory: string, count: number): Promise<readonly string[]> {
  const node = cluster.node(on);
  const mounted = await node.mount(node.device(NAME), 'fs');
  fs.mkdirSync(path.join(mounted, directory));
  let written = 0;
  const names = await writeSyncedFiles(path.join(mounted, directory), () => {
    written += 1;
    return written > count;
  });
  await node.unmount(mounted);
  assert.is(names.length, count);
  return names;
}

/** Looks for the files on a primary, and has the file system checked. */
async function checkFiles(on: string, directory: string, names: readonly string[]): Promise<void> {
  const node = cluster.node(on);
  await run('e2fsck', ['-fn', node.device(NAME)]);
  const mounted = await node.mount(node.device(NAME), 'fs');
  try {
    const bad = names.filter((name) => {
      const file = path.join(mounted, directory, name);
      return !fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== syncedContent(name);
    });
    assert.equal(bad, []);
  } finally {
    await node.unmount(mounted);
  }
}

async function roles(): Promise<string> {
  const both = await Promise.all(['alpha', 'beta'].map((on) => cluster.status(on, NAME)));
  return both.map(({role}) => role).join();
}

/** Writes a MiB at `seekMib`; returns the hash that must be found there. */
async function mark(on: string, file: string, seekMib: number): Promise<string> {
  const node = cluster.node(on);
  const source = randomFile(node, file, 1);
  await writeDisk(source, node.device(NAME), [`seek=${seekMib}`, 'conv=notrunc,fsync']);
  return hashOf(source, 1);
}

let files: readonly string[] = [];

test('T1: primary elsewhere is refused while the device is mounted here', async () => {
  const alpha = cluster.node('alpha');
  await run('mkfs.ext4', ['-q', alpha.device(NAME)]);
  files = await addFiles('alpha', 'one', 40);
  const mounted = await alpha.mount(alpha.device(NAME), 'fs');
  const refused = await cluster.node('beta').tryMars('primary', NAME);
  assert.is(refused.status, 3, refused.stderr);
  assert.match(refused.stderr, 'RESOURCE_BUSY');
  fs.writeFileSync(path.join(mounted, 'still'), 'here');
  assert.is(await roles(), 'primary,secondary');
  await alpha.unmount(mounted);
});

test('handover alpha to beta: the files are there, alpha follows', async () => {
  const start = performance.now();
  await cluster.node('beta').mars('primary', NAME);
  process.stdout.write(`\n  handover took ${((performance.now() - start) / 1000).toFixed(1)} s`);
  await cluster.wait('secondary and primary', 20_000, async () => {
    return (await roles()) === 'secondary,primary';
  });
  const {designatedPrimary} = await cluster.status('alpha', NAME);
  assert.is(designatedPrimary, 'beta');
  await checkFiles('beta', 'one', files);
  await cluster.equalImages(NAME);
});

test('beta writes as primary, and alpha has it all when it takes over again', async () => {
  const more = await addFiles('beta', 'two', 40);
  await cluster.equalImages(NAME);
  await cluster.node('alpha').mars('primary', NAME);
  await cluster.wait('primary and secondary', 20_000, async () => {
    return (await roles()) === 'primary,secondary';
  });
  await checkFiles('alpha', 'two', more);
  await checkFiles('alpha', 'one', files);
  await cluster.equalImages(NAME);
});

test('primary where it is primary already does nothing, and secondary leaves none', async () => {
  await cluster.node('alpha').mars('primary', NAME);
  await cluster.node('alpha').mars('secondary', NAME);
  assert.is(await roles(), 'secondary,secondary');
  await cluster.node('beta').mars('primary', NAME);
  await cluster.node('alpha').mars('primary', NAME);
  assert.is(await roles(), 'primary,secondary');
  await cluster.equalImages(NAME);
});

test('F2: three handovers right after a write: each finds the last write', async () => {
  for (let round = 0; round < 3; round += 1) {
    const [from, to] =
      round % 2 === 0 ? (['alpha', 'beta'] as const) : (['beta', 'alpha'] as const);
    const written = await mark(from, 'mark.bin', 80 + round);
    await cluster.node(to).mars('primary', NAME);
    const device = cluster.node(to).device(NAME);
    assert.is(await hashOf(device, 1, 80 + round), written, `round ${round}`);
  }

  await cluster.node('alpha').mars('primary', NAME);
  await cluster.equalImages(NAME);
});

test('with the link cut, primary without --force is refused and alpha remains', async () => {
  cluster.setLink('alpha', 'beta', 'cut');
  const refused = await cluster.node('beta').tryMars('primary', NAME, '--timeout', '5');
  assert.ok([3, 4, 5].includes(refused.status ?? -1), `${refused.status} ${refused.stderr}`);
  assert.match(refused.stderr, /PEER_UNREACHABLE|TIMEOUT|--force/u);
  await mark('alpha', 'alone.bin', 90);
  assert.is(await roles(), 'primary,secondary');
  cluster.setLink('alpha', 'beta', 'open');
  await cluster.equalImages(NAME);
});

test('alpha dies; beta takes over by force, has all up to its position; alpha comes back and follows', async () => {
  const more = await addFiles('alpha', 'three', 40);
  const position = await cluster.equalImages(NAME);
  await killAll(cluster.node('alpha'), NAME);
  const beta = cluster.node('beta');
  const refused = await beta.tryMars('primary', NAME, '--timeout', '5');
  assert.not.equal(refused.status, 0);
  await beta.mars('primary', NAME, '--force');
  const after = (await beta.diskStatus(NAME))?.position ?? '';
  assert.ok(after >= position);
  await checkFiles('beta', 'three', more);
  const own = await addFiles('beta', 'four', 20);
  await cluster.node('alpha').startDaemon();
  await cluster.wait('alpha to be a secondary that follows', 30_000, async () => {
    return (await cluster.status('alpha', NAME)).role === 'secondary';
  });
  await cluster.equalImages(NAME);
  await checkFiles('beta', 'four', own);
  assert.is((await cluster.status('alpha', NAME)).designatedPrimary, 'beta');
  await cluster.node('alpha').mars('primary', NAME);
  await checkFiles('alpha', 'four', own);
  await cluster.equalImages(NAME);
});

/** What power loss takes of a log that no flush covered: its last record. Nothing of it runs. */
function loseLastRecord(on: string): void {
  const files = createNodeFiles();
  const {logDirectory, durableFile} = resourcePaths(cluster.node(on).home, NAME);
  // The word on what is durable is not there before the record itself is.
  fs.rmSync(durableFile, {force: true});
  const {id} = readResource(cluster.node(on).home, NAME) ?? {id: ''};
  const {effective} = withoutSuperseded(readLogDirectory(files, logDirectory, id).segments);
  const last = effective.at(-1);
  assert.ok(last !== undefined);
  const {header, path: file} = last;
  const fd = files.open(file, 'write');
  const cursor = new RecordCursor(files);
  cursor.open(fd, header, header.start, header.chain, header.start + header.capacityBytes);
  let [begin, end] = [header.start, header.start];
  while (cursor.next()) [begin, end] = [end, cursor.position];
  assert.ok(end > begin, 'the last segment has a record');
  const zeros = Buffer.alloc(end - begin);
  files.write(fd, zeros, 0, zeros.length, SEGMENT_HEADER_BYTES + begin - header.start);
  files.sync(fd);
  files.close(fd);
}

test('hazard 8: alpha loses the end of its log with its power, and takes it from beta first', async () => {
  const [alpha, beta] = [cluster.node('alpha'), cluster.node('beta')];
  await cluster.equalImages(NAME);
  await alpha.mars('replay', 'pause', NAME);
  const expected = await mark('alpha', 'tail.bin', 60);
  const {position} = (await alpha.diskStatus(NAME)) ?? {position: ''};
  await cluster.wait('beta to have all', 20_000, async () => {
    return (await beta.diskStatus(NAME))?.position === position;
  });
  await killAll(alpha, NAME);
  loseLastRecord('alpha');
  await alpha.startDaemon();
  await cluster.wait('alpha to be primary again', 60_000, async () => {
    return (await alpha.diskStatus(NAME))?.phase === 'serving';
  });
  const told = eventsOf(alpha).filter(({code}) => code === 'TAIL_TAKEN');
  assert.equal(
    told.map(({severity, details}) => [severity, details?.['position']]),
    [['info', position]],
  );
  await alpha.mars('replay', 'resume', NAME);
  await cluster.wait('the device', 60_000, async () => {
    return (await cluster.status('alpha', NAME)).device !== null;
  });
  assert.is(await hashOf(alpha.device(NAME), 1, 60), expected);
  await cluster.equalImages(NAME);
  assert.is(await hashOf(imageBehind(beta, NAME), 1, 60), expected);
  assert.not(eventsOf(beta).some(({code}) => code === 'ORIGIN_LOST_DATA'));
});

test('P2: alpha dies with records that beta has not: forked, and both keep their data', async () => {
  const [alpha, beta] = [cluster.node('alpha'), cluster.node('beta')];
  await cluster.equalImages(NAME);
  cluster.setLink('alpha', 'beta', 'cut');
  const onAlpha = await mark('alpha', 'own-alpha.bin', 50);
  await alpha.replayed(NAME, 20_000);
  await killAll(alpha, NAME);
  await beta.mars('primary', NAME, '--force');
  const onBeta = await mark('beta', 'own-beta.bin', 50);
  cluster.setLink('alpha', 'beta', 'open');
  await alpha.startDaemon();
  await cluster.wait('Forked on both nodes', 30_000, async () => {
    const both = await Promise.all(['alpha', 'beta'].map((on) => cluster.status(on, NAME)));
    return both.every(
      ({state, replicas}) =>
        state === 'Forked' || replicas.some((replica) => replica.state === 'Forked'),
    );
  });
  const status = await cluster.status('alpha', NAME);
  assert.is(status.state, 'Forked');
  assert.not.equal(status.role, 'primary');
  assert.not.equal(status.health, 'ok');
  const said = status.messages.find(({code}) => code === 'SPLIT_BRAIN');
  assert.is(said?.severity, 'critical', JSON.stringify(status.messages));
  assert.match(await alpha.mars('explain', 'SPLIT_BRAIN'), 'mars fork');
  // The winner goes on, the loser is not touched.
  assert.is((await cluster.status('beta', NAME)).role, 'forcedPrimary');
  await mark('beta', 'more-beta.bin', 52);
  assert.is(await hashOf(beta.device(NAME), 1, 50), onBeta);
  assert.is(await hashOf(imageBehind(alpha, NAME), 1, 50), onAlpha);
  await alpha.mars('log', 'verify', NAME);
  assert.ok(fs.statSync(imageBehind(alpha, NAME)).size === 96 * MIB);
});

test.run();
