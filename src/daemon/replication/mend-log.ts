/**
 * A log of this node's own that is damaged where it was durable: its disk process stops with
 * LOG_CORRUPT. Where another replica has the same records, they are taken from there:
 *
 *   1. the damage is looked for: up to where the log is good, and where it is known to go on
 *   2. a replica with the epoch, and with the log up to there, gives the records; each is checked,
 *      and they have to join the good log at both ends
 *   3. a copy of the damaged file gets them, is walked from its first record on, and is synced
 *   4. under the lock of the generations: the damaged file keeps its content as bad-NAME.damaged, the
 *      copy takes its name
 *
 * Replay may find a damage that the start did not, as index files spare it the reading. Then the disk
 * goes on, and for step 4 its process is renewed under a lock of its own, before which the next one waits: it opens
 * the mended file, users only wait. One that cannot come to rest, as its log is full, is killed, unless the
 * kernel would then answer its users with errors (before 6.9).
 *
 * Dies at any step: the name has the damaged file or the mended one. A damage that nobody can mend
 * stays: LOG_CORRUPT, as it was.
 */
import fs from 'node:fs';
import {basename, join} from 'node:path';
import type {Duplex} from 'node:stream';
import {setTimeout as sleep} from 'node:timers/promises';
import type {DiskStatus} from '../../core/disk-status.js';
import {DiskError, isDiskError, storeError} from '../../core/errors.js';
import {createNodeFiles, type Files} from '../../core/files.js';
import {TwoSlotFile} from '../../core/two-slot.js';
import type {ResourcePaths} from '../../core/home.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {isReplayState} from '../../image/replay-state.js';
import {loadInit} from '../../fuse/init.js';
import {fileOffset, findDamage, goodEnd, type LogDamage} from '../../log/damage.js';
import {readDurablePosition} from '../../log/durable-word.js';
import {readLineage, type LineageEntry} from '../../log/lineage.js';
import {isSameChain} from '../../log/record.js';
import type {Context} from '../context.js';
import {callDisk} from '../disk-call.js';
import {tryLock} from '../file-lock.js';
import type {Resource} from '../resource.js';
import type {KnownReplica} from './role-services.js';
import {takeRecords, wordsOf} from './take-records.js';

const OPEN_MS = 5000;
const TAKE_MS = 120_000;
const LOCK_SECONDS = 30;
/** So long a process that was told to end may need; the next one waits a minute for the lock. */
const GONE_MS = 20_000;
const LOOK_MS = 10;
/** So long users may wait for the process to come to rest. */
const REST_MS = 5000;
/** More damaged places than this are no accident of a few sectors. */
const DAMAGES_MAX = 64;
const KEPT = /^bad-.*\.damaged(?:-\d+)?$/u;

/**
 * Runs what starts a disk process. Where its log is damaged, that is mended from a peer, if one can,
 * and it is run again. In the queue of the resource.
 *
 * @throws as `start`; LOG_CORRUPT where nobody can mend the log
 */
export async function withMendedLog<T>(
  context: Context,
  resource: Resource,
  start: () => Promise<T>,
): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (!isDiskError(error, 'LOG_CORRUPT') || !(await mendLog(context, resource))) throw error;
    return start();
  }
}

/**
 * Mends all that peers can mend, in the queue of the resource.
 *
 * @returns true where something was mended and no damage is known any more
 */
export async function mendLog(context: Context, resource: Resource): Promise<boolean> {
  const {name, places, file} = resource;
  const files = createNodeFiles();
  const {logDirectory} = places.paths;
  try {
    await resource.poll();
    if (!mayBeEnded(resource)) return false;
    for (let count = 0; count < DAMAGES_MAX; count += 1) {
      const replayed = readReplayed(files, places.paths);
      const damage = await findDamage(files, logDirectory, file.id, replayed);
      if (damage === undefined) return count > 0;
      // A file that is appended to is no file to be replaced.
      if (resource.disk !== undefined && damage.lastProven !== undefined) return false;
      if (!(await mendOne(context, resource, files, damage))) return false;
    }
  } catch (error) {
    if (!isDiskError(storeError(error, 'mend the log'))) throw error;
    context.log.warn({resource: name, err: error}, 'the log was not mended');
  } finally {
    resource.waitIsOver();
  }

  return false;
}

/** false: the mount of the disk ends with its process. */
function mayBeEnded({disk}: Resource): boolean {
  return disk?.mode !== 'serve' || disk.driver === 'kernel';
}

/** Up to where the image is, and how far the log is known to have been durable. */
function readReplayed(files: Files, paths: ResourcePaths): {from: number; to: number} {
  const {replayFile} = paths;
  const state = files.exists(replayFile) ? TwoSlotFile.peek(files, replayFile) : undefined;
  const {from, to} = isReplayState(state) ? state : {from: 0, to: 0};
  return {from, to: Math.max(to, readDurablePosition(files, paths))};
}

async function mendOne(
  context: Context,
  resource: Resource,
  files: Files,
  damage: LogDamage,
): Promise<boolean> {
  const lineage = readLineage(files, resource.places.paths.lineageFile);
  const at = lineage.findIndex(({epoch}) => epoch === damage.segment.header.epoch);
  if (at === -1) return false;
  const known = lineage.slice(0, at + 1);
  for (const part of [damage, ...toTheEnd(damage)]) {
    for (const peer of helpersOf(context.roles?.replicas(resource.file.id) ?? [], known, part)) {
      try {
        await mendFrom(context, resource, files, part, known, peer);
        return true;
      } catch (error) {
        if (!isDiskError(error)) throw error;
        const fields = {resource: resource.name, peer: peer.name, err: error};
        context.log.warn(fields, `a damaged log is not mended by this peer: ${wordsOf(error)}`);
      }
    }
  }

  return false;
}

/** Where the records behind a damage in the last logfile do not go on from what a peer has. */
function toTheEnd(damage: LogDamage): LogDamage[] {
  const {lastProven, endChain} = damage;
  if (lastProven === undefined || endChain === undefined) return [];
  return [{...damage, end: lastProven, endChain: undefined}];
}

/** Replicas that were heard of and have all that is needed, the longest log first. */
function helpersOf(
  replicas: readonly KnownReplica[],
  known: readonly LineageEntry[],
  damage: LogDamage,
): KnownReplica[] {
  const last = known.at(-1);
  const end = ({facts}: KnownReplica): number => parsePosition(facts.position ?? '') ?? 0;
  const has = (replica: KnownReplica): boolean =>
    replica.linkUp &&
    end(replica) >= damage.end &&
    replica.facts.lineage.some(
      ({epoch, start, chain}) =>
        epoch === last?.epoch && start === last.start && chain === last.chain,
    );
  return replicas.filter((each) => has(each)).sort((left, right) => end(right) - end(left));
}

async function mendFrom(
  context: Context,
  resource: Resource,
  files: Files,
  damage: LogDamage,
  lineage: readonly LineageEntry[],
  peer: KnownReplica,
): Promise<void> {
  const {name, file, places} = resource;
  const {segment} = damage;
  const range = `from ${formatPosition(damage.position)} to ${formatPosition(damage.end)}`;
  const until = new Date(context.clock.wallMs() + TAKE_MS).toISOString();
  resource.wait(`${peer.name} to give the log ${range}, which is damaged here`, until);
  const stream = await context.roles?.open(
    peer.nodeId,
    `resources/${file.id}/log`,
    'mars-log/1',
    OPEN_MS,
  );
  if (stream === undefined) throw new DiskError('PEER_UNKNOWN', 'this node has no cluster');
  const asked = {resourceId: file.id, nodeId: context.node.id, lineage, damage};
  const copy = join(places.paths.logDirectory, `mend-${segment.name}.tmp`);
  try {
    const before = fs.statSync(segment.path, {bigint: true});
    const end = await copyWithRecords(files, stream, asked, copy);
    await requireGood(files, copy, damage);
    const kept = await swap(resource, segment.path, copy, before.mtimeNs);
    const text =
      `the logfile ${segment.name} of ${name} was damaged at ${formatPosition(damage.position)}; ` +
      `${peer.name} gave the good copy up to ${formatPosition(end)}; the damaged file is kept as ` +
      `${kept}: look at the device below ${places.paths.logDirectory}`;
    context.tell('LOG_MENDED', 'warning', name, text, {node: peer.name, file: segment.name});
    noteDamagedFiles(resource);
  } catch (error) {
    throw storeError(error, `mend ${segment.path}`);
  } finally {
    stream.destroy();
    fs.rmSync(copy, {force: true});
  }
}

/** Step 3. @returns where the records end that came */
async function copyWithRecords(
  files: Files,
  stream: Duplex,
  asked: Parameters<typeof takeRecords>[1],
  copy: string,
): Promise<number> {
  // Nobody else listens while the file is copied.
  stream.on('error', () => undefined);
  const {path, header} = asked.damage.segment;
  await fs.promises.copyFile(path, copy);
  const fd = files.open(copy, 'write');
  const timer = setTimeout(() => {
    stream.destroy(new DiskError('TIMEOUT', `the records did not come within ${TAKE_MS} ms`));
  }, TAKE_MS);
  try {
    const end = await takeRecords(stream, asked, (position, records) => {
      files.write(fd, records, 0, records.length, fileOffset(header, position));
    });
    files.sync(fd);
    return end;
  } finally {
    clearTimeout(timer);
    files.close(fd);
  }
}

/** Believes the file that was written, not what was meant to be. */
async function requireGood(files: Files, copy: string, damage: LogDamage): Promise<void> {
  const {segment, end, endChain} = damage;
  const limit = endChain === undefined ? Infinity : end;
  const good = await goodEnd(files, copy, segment.header, limit);
  if (good.position >= end && (endChain === undefined || isSameChain(good.chain, endChain))) return;
  const at = formatPosition(good.position);
  throw new DiskError('LOG_CORRUPT', `the mended copy is good up to ${at} only`, {position: at});
}

/**
 * Step 4. A generation that is about to start waits meanwhile.
 *
 * @returns the name of the damaged file from now on
 */
async function swap(
  resource: Resource,
  path: string,
  copy: string,
  mtimeNs: bigint,
): Promise<string> {
  const {generationLock, mendLock, logDirectory} = resource.places.paths;
  await resource.poll();
  const {disk} = resource;
  // A process that runs keeps the lock of the generations, and so does the next one, which is started at
  // once, and looks for the other lock before it reads.
  const lockPath = disk === undefined ? generationLock : mendLock;
  const lock = await tryLock(lockPath, LOCK_SECONDS);
  if (lock === undefined) throw new DiskError('RESOURCE_LOCKED', `somebody holds ${lockPath}`);
  try {
    const requireSame = (): void => {
      if (fs.statSync(path, {bigint: true}).mtimeNs === mtimeNs) return;
      // One that lived meanwhile has gone on behind what was copied.
      throw new DiskError('RESOURCE_LOCKED', `${path} has changed while it was mended`);
    };
    requireSame();
    if (disk !== undefined) await endGeneration(resource, disk);
    requireSame();
    const kept = freeName(logDirectory, `bad-${basename(path)}.damaged`);
    fs.linkSync(path, join(logDirectory, kept));
    fs.renameSync(copy, path);
    createNodeFiles().syncDirectory(logDirectory);
    return kept;
  } finally {
    if (disk !== undefined) fs.rmSync(mendLock, {force: true});
    fs.closeSync(lock);
  }
}

/**
 * Ends the disk process that runs, and waits until it is gone.
 *
 * @throws DiskError RENEW_REFUSED where the process goes on, RESOURCE_LOCKED where it does not end
 */
async function endGeneration(resource: Resource, disk: DiskStatus): Promise<void> {
  const {places} = resource;
  let isRenewed = false;
  if (disk.mode === 'serve') {
    try {
      await callDisk(places.paths.socket, '/renew', 2 * REST_MS, {timeoutMs: REST_MS});
      isRenewed = true;
      resource.noteRenewed(disk);
    } catch (error) {
      if (loadInit(places.paths.fuseFile)?.canResend !== true) throw error;
    }
  }

  const deadlineMs = performance.now() + GONE_MS;
  for (let isTold = isRenewed; fs.existsSync(`/proc/${disk.pid}`); isTold = true) {
    if (performance.now() > deadlineMs) {
      throw new DiskError('RESOURCE_LOCKED', `the disk process ${disk.pid} does not end`);
    }

    if (!isTold) killNow(disk.pid);
    await sleep(LOOK_MS);
  }
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself just now.
  }
}

function freeName(directory: string, name: string): string {
  const taken = new Set(fs.readdirSync(directory));
  let free = name;
  for (let count = 2; taken.has(free); count += 1) free = `${name}-${count}`;
  return free;
}

/** Shows that damaged files are kept, until somebody has looked at them and taken them away. */
export function noteDamagedFiles(resource: Resource): void {
  const {places, name} = resource;
  const {logDirectory} = places.paths;
  const kept = fs.existsSync(logDirectory)
    ? fs.readdirSync(logDirectory).filter((file) => KEPT.test(file))
    : [];
  if (kept.length === 0) {
    resource.hush('LOG_MENDED');
    return;
  }

  const text =
    `logfiles of ${name} were damaged and mended from a replica; kept: ${kept.sort().join(', ')}. ` +
    `Look at the device below ${logDirectory}, then mars log prune ${name} --purge --yes`;
  resource.say('LOG_MENDED', 'warning', text);
}
