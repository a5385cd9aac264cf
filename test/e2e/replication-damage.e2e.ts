/** T8, T17, F18, H8: a copy that is interrupted, and logs that are damaged on the secondary. */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {createNodeFiles} from '../../src/core/files.js';
import {resourcePaths} from '../../src/core/home.js';
import {readResource} from '../../src/daemon/state.js';
import {readLogDirectory} from '../../src/log/directory.js';
import {readLogEnd} from '../../src/log/log-end.js';
import {withoutSuperseded} from '../../src/log/recovery.js';
import {killAll} from '../helpers/chaos.js';
import {Cluster} from '../helpers/cluster.js';
import {eventsOf, hashOf, randomFile, writeDisk} from '../helpers/disk-io.js';
import {killAndWait} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const DATA_MIB = 48;
const NAME = 'web01';

const cluster = new Cluster(['alpha', 'beta']);
let device: string;

test.before(async () => {
  await cluster.start();
  device = await cluster.createResource('alpha', NAME, '96M');
  await writeDisk(randomFile(cluster.node('alpha'), 'first.bin', DATA_MIB), device, [
    'conv=notrunc,fsync',
  ]);
});

test.after(() => cluster.dispose());

/** Begins the first copy over a slow link, and waits until it is half done. */
async function halfCopied(): Promise<void> {
  const wire = cluster.link('beta', 'alpha');
  wire.bytesPerSecond = 12 * MIB;
  const before = wire.statistics().back;
  await cluster.wait('beta to hear of it', 20_000, async () => {
    return (await cluster.node('beta').tryMars('resource', 'join', NAME)).status === 0;
  });
  await cluster.wait('half of the copy', 30_000, () =>
    Promise.resolve(wire.statistics().back - before > (DATA_MIB / 2) * MIB),
  );
  assert.is((await cluster.status('beta', NAME)).state, 'Syncing');
}

/** SIGKILL of the daemon and of all of the resource on beta; `meanwhile` nothing of it runs. */
async function killBeta(meanwhile: () => void): Promise<void> {
  const beta = cluster.node('beta');
  const {pid, holderPid} = await beta.diskProcesses(NAME);
  await beta.killDaemon();
  await Promise.all([killAndWait(holderPid), killAndWait(pid)]);
  meanwhile();
  await beta.startDaemon();
}

interface LogEnd {
  readonly file: string;
  /** Behind the last byte that is not zero. */
  readonly offset: number;
}

/** The logfile that was written last, and where its records end. */
function logEnd(on: string): LogEnd {
  const {logDirectory} = resourcePaths(cluster.node(on).home, NAME);
  const names = fs.readdirSync(logDirectory).filter((name) => /^log-\d+-\w+$/u.test(name));
  const file = path.join(logDirectory, names.sort().at(-1) ?? '');
  const bytes = fs.readFileSync(file);
  let offset = bytes.length;
  while (offset > 0 && bytes[offset - 1] === 0) offset -= 1;
  return {file, offset};
}

function overwrite(file: string, offset: number, bytes: Buffer): void {
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, bytes, 0, bytes.length, offset);
  fs.closeSync(fd);
}

async function write(file: string, seekMib: number): Promise<void> {
  const source = randomFile(cluster.node('alpha'), file, 2);
  await writeDisk(source, device, [`seek=${seekMib}`, 'conv=notrunc,fsync']);
}

test('T8: leave in the middle of the first copy, link up', async () => {
  await halfCopied();
  await cluster.node('beta').mars('resource', 'leave', NAME, '--yes');
  assert.not.match(await cluster.node('beta').mars('resource', 'list'), NAME);
  cluster.link('beta', 'alpha').bytesPerSecond = 0;
});

test('F18: a copy that is cut, and whose processes are killed, goes on where it was', async () => {
  const wire = cluster.link('beta', 'alpha');
  const before = wire.statistics().back;
  await halfCopied();
  cluster.setLink('alpha', 'beta', 'cut');
  await killBeta(() => undefined);
  await write('meanwhile.bin', 20);
  assert.not.equal((await cluster.status('beta', NAME)).state, 'UpToDate');
  const refused = await cluster.node('beta').tryMars('primary', NAME, '--force', '--timeout', '5');
  assert.is(refused.status, 3, 'half a copy never becomes primary');
  cluster.setLink('alpha', 'beta', 'open');
  wire.bytesPerSecond = 0;
  await cluster.node('beta').mars('wait', NAME, 'synced', '--timeout', '60');
  await cluster.equalImages(NAME);
  const copied = (wire.statistics().back - before) / MIB;
  assert.ok(copied < DATA_MIB * 1.4, `${copied} MiB went over the wire for ${DATA_MIB}`);
});

test('T17: garbage behind the end of the log of the secondary is never applied', async () => {
  await cluster.equalImages(NAME);
  await killBeta(() => {
    const {file, offset} = logEnd('beta');
    overwrite(file, Math.ceil(offset / 8) * 8, randomBytes(5000));
  });
  await write('after-garbage.bin', 30);
  await cluster.equalImages(NAME);
  await cluster.node('beta').mars('log', 'verify', NAME);
});

test('T17: garbage in the last bytes of a log that is not replayed yet is fetched again', async () => {
  await cluster.node('beta').mars('replay', 'pause', NAME);
  await write('unreplayed.bin', 40);
  await cluster.caughtUp(NAME, 'alpha', 'beta', 20_000);
  await killBeta(() => {
    const {file, offset} = logEnd('beta');
    overwrite(file, offset - 100, randomBytes(100));
  });
  await cluster.node('beta').mars('replay', 'resume', NAME);
  await cluster.equalImages(NAME);
  await cluster.node('beta').mars('log', 'verify', NAME);
});

test('a bit that rots in the middle of the log of the secondary is fetched again', async () => {
  await cluster.node('beta').mars('replay', 'pause', NAME);
  await write('rot.bin', 44);
  await cluster.caughtUp(NAME, 'alpha', 'beta', 20_000);
  await killBeta(() => {
    const {file, offset} = logEnd('beta');
    overwrite(file, offset - MIB - 77, randomBytes(1));
  });
  await cluster.node('beta').mars('replay', 'resume', NAME);
  await cluster.equalImages(NAME);
  await cluster.node('beta').mars('log', 'verify', NAME);
});

/** Flips a bit of a record in a logfile of the primary: in the middle of it, or the last one. */
function rot(which: 'sealed' | 'last' | 'end'): void {
  const {home} = cluster.node('alpha');
  const {logDirectory} = resourcePaths(home, NAME);
  const files = createNodeFiles();
  const {id} = readResource(home, NAME) ?? {id: ''};
  const {effective} = withoutSuperseded(readLogDirectory(files, logDirectory, id).segments);
  const segment = effective.at(which === 'sealed' ? -2 : -1) ?? effective[0];
  assert.ok(segment);
  const {path: file, header} = segment;
  const end = (readLogEnd(files, logDirectory, id)?.position ?? 0) - header.start;
  const places = {sealed: 2 * MIB + 5, last: 4096 + Math.trunc(end / 2), end: 4096 + end - 100};
  const offset = places[which];
  const fd = fs.openSync(file, 'r');
  const byte = Buffer.alloc(1);
  fs.readSync(fd, byte, 0, 1, offset);
  fs.closeSync(fd);
  overwrite(file, offset, Buffer.of((byte[0] ?? 0) ^ 8));
}

async function mended(times: number): Promise<void> {
  const alpha = cluster.node('alpha');
  await cluster.wait(`alpha to have mended its log ${times} times`, 60_000, async () => {
    const count = eventsOf(alpha).filter(({code}) => code === 'LOG_MENDED').length;
    return count >= times && (await alpha.diskStatus(NAME))?.phase === 'serving';
  });
}

test('F11: rot in a logfile of the primary: the good copy comes from beta, and users only wait', async () => {
  const alpha = cluster.node('alpha');
  await cluster.equalImages(NAME);
  await alpha.mars('replay', 'pause', NAME);
  const source = randomFile(alpha, 'primary.bin', 14);
  await writeDisk(source, device, ['seek=50', 'conv=notrunc,fsync']);
  await cluster.caughtUp(NAME, 'alpha', 'beta', 20_000);
  // The damaged block is neither read from the log nor known to be bad before replay comes to it.
  rot('sealed');
  const {restarts} = await alpha.diskProcesses(NAME);
  await alpha.mars('replay', 'resume', NAME);
  await mended(1);
  await cluster.equalImages(NAME);
  assert.is(await hashOf(device, 14, 50), await hashOf(source, 14));
  assert.is((await alpha.diskProcesses(NAME)).restarts, restarts + 1);
  assert.not(
    eventsOf(alpha).some(({code}) => code === 'DISK_RESTARTED'),
    'renewed, not killed',
  );
  const {messages} = await alpha.status(NAME);
  assert.ok(messages.some(({code, text}) => code === 'LOG_MENDED' && text.includes('.damaged')));
  await alpha.mars('log', 'verify', NAME);
  await alpha.mars('log', 'prune', NAME, '--purge', '--yes');
  await cluster.wait('the message to go with the file', 20_000, async () => {
    return !(await alpha.status(NAME)).messages.some(({code}) => code === 'LOG_MENDED');
  });
});

test('F11: rot at the end of the log of a primary that was killed: it starts with the copy of beta', async () => {
  const alpha = cluster.node('alpha');
  await alpha.mars('replay', 'pause', NAME);
  await alpha.mars('log', 'rotate', NAME);
  const source = randomFile(alpha, 'killed.bin', 2);
  await writeDisk(source, device, ['seek=70', 'conv=notrunc,fsync']);
  // Its record says that the ones before it were durable: so it is no torn tail.
  await writeDisk(source, device, ['seek=78', 'count=1', 'conv=notrunc,fsync']);
  await cluster.caughtUp(NAME, 'alpha', 'beta', 20_000);
  await killAll(alpha, NAME);
  rot('last');
  await alpha.startDaemon();
  await mended(2);
  await alpha.mars('replay', 'resume', NAME);
  await cluster.wait('the device', 60_000, async () => {
    return (await cluster.status('alpha', NAME)).device !== null;
  });
  device = alpha.device(NAME);
  await cluster.equalImages(NAME);
  assert.is(await hashOf(device, 2, 70), await hashOf(source, 2));
});

test('F11: rot in the last flushed record of a primary that was killed, which no record proves: the copy of beta', async () => {
  const alpha = cluster.node('alpha');
  await alpha.mars('replay', 'pause', NAME);
  const source = randomFile(alpha, 'last.bin', 2);
  await writeDisk(source, device, ['seek=72', 'conv=notrunc,fsync']);
  await cluster.caughtUp(NAME, 'alpha', 'beta', 20_000);
  await killAll(alpha, NAME);
  rot('end');
  await alpha.startDaemon();
  await mended(3);
  await alpha.mars('replay', 'resume', NAME);
  await cluster.wait('the device', 60_000, async () => {
    return (await cluster.status('alpha', NAME)).device !== null;
  });
  device = alpha.device(NAME);
  await cluster.equalImages(NAME);
  assert.is(await hashOf(device, 2, 72), await hashOf(source, 2));
});

test('the log of the secondary is gone from the disk: it says so or copies again, never lies', async () => {
  await write('before-loss.bin', 50);
  await cluster.equalImages(NAME);
  const {logDirectory} = resourcePaths(cluster.node('beta').home, NAME);
  await killBeta(() => {
    for (const name of fs.readdirSync(logDirectory)) fs.rmSync(path.join(logDirectory, name));
  });
  await write('after-loss.bin', 52);
  await cluster.wait('beta to be equal again, or to say why not', 40_000, async () => {
    const status = await cluster.status('beta', NAME);
    const alpha = await cluster.node('alpha').diskStatus(NAME);
    return status.health !== 'ok' || status.replayed === alpha?.position;
  });
  if ((await cluster.status('beta', NAME)).health === 'ok') await cluster.equalImages(NAME);
});

test.run();
