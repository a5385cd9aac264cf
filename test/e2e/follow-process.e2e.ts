/** The disk process in mode `follow`, under its holder: streams in, commits, replays, dies, goes on. */
import {spawn, type ChildProcess} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type {Duplex} from 'node:stream';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {diskStatus} from '../../src/control/disk-client.js';
import type {DiskStatus} from '../../src/core/disk-status.js';
import {isDiskError} from '../../src/core/errors.js';
import {homePaths, resourcePaths} from '../../src/core/home.js';
import {formatPosition} from '../../src/core/position.js';
import {openDiskStream} from '../../src/daemon/replication/disk-stream.js';
import {WORD} from '../../src/disk/shared.js';
import {formatChain} from '../../src/log/record.js';
import {diskAt, recordsOf, type SourceRecord} from '../disk/follow-rig.js';
import {Source} from '../disk/follow-source.js';
import {Rig} from '../disk/rig.js';
import {until} from '../helpers/run.js';

const NAME = 'vol0';
const ROOT = path.join(import.meta.dirname, '..', '..');
const DEADLINE_MS = 20_000;

let home: string;
let holder: ChildProcess;
let records: SourceRecord[];
let rig: Rig;
let streams: Duplex[] = [];

test.before(() => {
  home = fs.mkdtempSync(path.join(process.env['MARS_TEST_DIR'] ?? '/var/tmp', 'mars-follow-'));
  rig = new Rig();
  rig.life.shared.set(WORD.replayPaused, 1);
  for (let at = 0; at < 80; at += 1) {
    rig.write(((at * 37) % 120) * 8192, 2000 + ((at * 997) % 9000));
    if (at % 20 === 19) rig.flushed();
    rig.until(() => !rig.parked);
  }

  rig.commit();
  records = recordsOf(rig);
  const paths = resourcePaths(home, NAME);
  fs.mkdirSync(paths.directory, {recursive: true});
  fs.mkdirSync(homePaths(home).disksDirectory, {recursive: true});
  fs.mkdirSync(paths.logDirectory);
  const node = {...rig.config.node, name: 'beta', id: 'c'.repeat(32)};
  const resource = {...rig.config.resource, imagePath: paths.image};
  fs.writeFileSync(homePaths(home).nodeFile, JSON.stringify(node));
  fs.writeFileSync(paths.resourceFile, JSON.stringify(resource));
  fs.writeFileSync(paths.image, Buffer.alloc(rig.model.length));
  start();
});

test.after(async () => {
  for (const stream of streams) stream.destroy();
  // First the holder, else it starts the next one.
  const last = await status();
  const pids = [last?.holderPid, last?.pid].filter((pid) => typeof pid === 'number');
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await until(() => pids.every(isGone), DEADLINE_MS, 'end');
  fs.rmSync(home, {recursive: true, force: true});
});

function isGone(pid: number): boolean {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`).length === 0;
  } catch {
    return true;
  }
}

function start(): void {
  const script = path.join(ROOT, 'dist/disk/holder.sh');
  const output = fs.openSync(resourcePaths(home, NAME).output, 'a');
  holder = spawn('sh', [script, home, NAME, '/nonexistent', 'auto', 'follow'], {
    detached: true,
    stdio: ['ignore', output, output],
    env: {
      ...process.env,
      MARS_NODE: process.execPath,
      MARS_DISK_MAIN: path.join(ROOT, 'dist/disk/main.js'),
      NODE_OPTIONS: '',
    },
  });
  fs.closeSync(output);
}

async function status(): Promise<DiskStatus | undefined> {
  return diskStatus(resourcePaths(home, NAME).socket, 1000).catch(() => undefined);
}

async function reach(what: string, done: (found: DiskStatus) => boolean): Promise<DiskStatus> {
  let last: DiskStatus | undefined;
  await until(
    async () => {
      last = await status();
      return last !== undefined && done(last);
    },
    DEADLINE_MS,
    what,
  ).catch((error: unknown) => {
    const words = fs.readFileSync(resourcePaths(home, NAME).output, 'utf8').slice(-2000);
    throw new Error(`${String(error)}: ${JSON.stringify(last)} ${words}`);
  });
  assert.ok(last !== undefined);
  return last;
}

async function connect(known: readonly SourceRecord[]): Promise<Source> {
  const stream = await openDiskStream(resourcePaths(home, NAME).socket, 'mars-log/1', 5000);
  streams.push(stream);
  return new Source(stream, known);
}

function post(url: string): Promise<void> {
  const {socket} = resourcePaths(home, NAME);
  return import('node:http').then(
    (http) =>
      new Promise((resolve, reject) => {
        http
          .request({socketPath: socket, path: url, method: 'POST'}, (response) => {
            response.resume();
            response.once('end', resolve);
          })
          .once('error', reject)
          .end();
      }),
  );
}

function assertImage(position: number): void {
  const image = fs.readFileSync(resourcePaths(home, NAME).image);
  assert.ok(image.equals(diskAt(records, position, image.length)), 'the image is as at the origin');
}

test('a log stream is written, made durable and replayed as far as the origin is', async () => {
  const ready = await reach('log', ({phase}) => phase === 'replaying');
  assert.is(ready.mode, 'follow');
  assert.is(ready.follow?.phase, 'following');
  assert.is(ready.follow?.connected, false);
  const half = records.slice(0, 40);
  const end = half.at(-1)?.end ?? 0;
  const source = await connect(half);
  await reach('records', ({position}) => position === formatPosition(end));
  source.mark(end, Date.now());
  const found = await reach('image', ({replayed}) => replayed === formatPosition(end));
  assert.is(found.follow?.lagSeconds, 0);
  assert.is(found.chain, formatChain(half.at(-1)?.chain ?? {low: 0, high: 0}));
  assert.is(found.epoch, rig.life.disk.epoch);
  assertImage(end);
  await until(() => source.acks.at(-1)?.from === end, DEADLINE_MS, 'ACK');
});

test('no copy of the image is taken where none is wanted', async () => {
  const {socket} = resourcePaths(home, NAME);
  let refusal: unknown;
  await openDiskStream(socket, 'mars-sync/1', 5000).catch((error: unknown) => {
    refusal = error;
  });
  assert.ok(isDiskError(refusal, 'DISK_UNREACHABLE'), String(refusal));
});

test('killed in the middle, it goes on where it was', async () => {
  const before = await reach('life', ({phase}) => phase === 'replaying');
  const source = await connect(records);
  await until(() => source.hello !== undefined, DEADLINE_MS, 'HELLO');
  process.kill(before.pid, 'SIGKILL');
  const after = await reach('next life', ({pid, phase}) => {
    return pid !== before.pid && phase === 'replaying';
  });
  assert.ok(after.position >= before.position);
  assert.is(after.restarts, 1);
  const again = await connect(records);
  const end = records.at(-1)?.end ?? 0;
  await reach('records', ({position}) => position === formatPosition(end));
  assert.is(again.hello?.position, after.position);
  again.mark(end, Date.now());
  await reach('image', ({replayed}) => replayed === formatPosition(end));
  assertImage(end);
  assert.ok(fs.readFileSync(resourcePaths(home, NAME).image).equals(rig.model));
});

test('the holder dies: another one takes its place', async () => {
  const before = await reach('life', ({phase}) => phase === 'replaying');
  process.kill(before.holderPid ?? 0, 'SIGKILL');
  await reach('new holder', ({holderPid}) => holderPid !== before.holderPid && holderPid !== null);
  const after = await status();
  assert.is(after?.pid, before.pid);
});

test('a stop is orderly: all is durable, nobody is started again', async () => {
  const {pid, holderPid, position} = await reach('life', ({phase}) => phase === 'replaying');
  await post('/stop');
  await until(() => isGone(pid) && isGone(holderPid ?? 0), DEADLINE_MS, 'end');
  start();
  const next = await reach('next start', ({phase}) => phase === 'replaying');
  assert.is(next.position, position);
  assert.is(next.durable, position);
  streams = [];
  await post('/stop');
  await until(() => holder.exitCode === 0, DEADLINE_MS, 'exit 0');
});

test.run();
