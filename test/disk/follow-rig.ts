/**
 * A follower without threads or network: the real FollowLog, committer and replay over a simulated
 * disk of its own, fed with the log of a primary on another one (rig.ts).
 */
import * as assert from 'uvu/assert';
import {resourcePaths} from '../../src/core/home.js';
import {BLOCK_BYTES} from '../../src/core/limits.js';
import {Committer} from '../../src/disk/committer.js';
import type {DiskConfig} from '../../src/disk/config.js';
import {activateFollow, type FollowedDisk} from '../../src/disk/follow-activation.js';
import {FollowLog} from '../../src/disk/follow-log.js';
import {createReplayHost} from '../../src/disk/replay-host.js';
import {Shared, SHARED_BYTES} from '../../src/disk/shared.js';
import {openReplayState} from '../../src/image/replay-state.js';
import {Replayer} from '../../src/image/replay.js';
import {RecordCursor} from '../../src/log/cursor.js';
import {readLogDirectory} from '../../src/log/directory.js';
import {RECORD, RECORD_HEADER_BYTES, type Chain} from '../../src/log/record.js';
import {withoutSuperseded} from '../../src/log/recovery.js';
import {SEGMENT_HEADER_BYTES, type SegmentHeader} from '../../src/log/segment.js';
import {createRandom} from '../sim/random.js';
import {SimClock} from '../sim/sim-clock.js';
import {SimDisk} from '../sim/sim-disk.js';
import {PATHS, type Rig} from './rig.js';

const STEPS_MAX = 10_000;

export interface SourceSegment {
  readonly header: SegmentHeader;
  /** The header as it is stored. */
  readonly bytes: Buffer;
}

export interface SourceRecord {
  readonly position: number;
  readonly end: number;
  readonly segment: SourceSegment;
  readonly bytes: Buffer;
  /** Chain value behind it. */
  readonly chain: Chain;
  readonly durable: number;
  readonly type: number;
  readonly diskOffset: number;
  readonly logicalLength: number;
}

/** All records of the primary's log that are still there; its replay must not have run. */
export function recordsOf(rig: Rig): SourceRecord[] {
  const listing = readLogDirectory(rig.files, PATHS.logDirectory, rig.config.resource.id);
  const {effective} = withoutSuperseded(listing.segments);
  const records: SourceRecord[] = [];
  const cursor = new RecordCursor(rig.files);
  for (const [at, {header, path}] of effective.entries()) {
    const segment = {header, bytes: rig.files.peek(path, 0, SEGMENT_HEADER_BYTES)};
    const end = effective[at + 1]?.header.start ?? header.start + header.capacityBytes;
    const fd = rig.files.open(path, 'read');
    cursor.open(fd, header, header.start, header.chain, end);
    let position = header.start;
    while (cursor.next()) {
      const offset = cursor.payloadOffset - RECORD_HEADER_BYTES;
      const {type, durable, diskOffset, logicalLength} = cursor.record;
      records.push({
        position,
        end: cursor.position,
        segment,
        bytes: Buffer.from(cursor.bytes.subarray(offset, offset + cursor.position - position)),
        chain: {...cursor.chain},
        durable,
        type,
        diskOffset,
        logicalLength,
      });
      position = cursor.position;
    }

    rig.files.close(fd);
  }

  return records;
}

/** The disk as it was when the log ended at `position`. */
export function diskAt(records: readonly SourceRecord[], position: number, size: number): Buffer {
  const disk = Buffer.alloc(size);
  for (const record of records) {
    if (record.end > position) break;
    const {diskOffset, logicalLength} = record;
    if (record.type === RECORD.write) record.bytes.copy(disk, diskOffset, RECORD_HEADER_BYTES);
    else if (record.type === RECORD.discard || record.type === RECORD.zero) {
      disk.fill(0, diskOffset, diskOffset + logicalLength);
    }
  }

  assert.is(size % BLOCK_BYTES, 0);
  return disk;
}

export class FollowRig {
  readonly files: SimDisk;
  readonly clock = new SimClock();
  readonly config: DiskConfig;
  readonly sizeBytes: number;
  readonly notes: string[] = [];
  /** What slots.json says to the next life. */
  retainFrom = Infinity;
  shared!: Shared;
  disk!: FollowedDisk;
  committer!: Committer;
  log!: FollowLog;
  replayer: Replayer | undefined;

  constructor(primary: Rig, seed = 1, prepare: (rig: FollowRig) => void = () => undefined) {
    this.files = new SimDisk({random: createRandom(seed)});
    this.sizeBytes = primary.model.length;
    const {config} = primary;
    this.config = {...config, node: {...config.node, name: 'beta', id: 'c'.repeat(32)}};
    this.files.makeDirectory(PATHS.logDirectory);
    const fd = this.files.open(PATHS.image, 'exclusive');
    this.files.truncate(fd, this.sizeBytes);
    this.files.sync(fd);
    this.files.close(fd);
    prepare(this);
    for (const path of ['/', '/home', '/home/resources', PATHS.directory]) {
      this.files.syncDirectory(path);
    }

    this.begin();
  }

  begin(): void {
    const {files, clock, config} = this;
    const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
    this.shared = shared;
    shared.retain(this.retainFrom);
    this.replayer = undefined;
    this.disk = activateFollow({files, config, shared, acceptImage: false});
    this.disk.stateFile.close();
    const committer = new Committer({
      files,
      clock,
      shared,
      responder: {answer: () => undefined, answerWrite: () => undefined},
      onFailure: (errno) => {
        this.notes.push(`commit failed: ${errno}`);
      },
    });
    this.committer = committer;
    this.log = new FollowLog({
      files,
      config,
      shared,
      disk: this.disk,
      commit: () => {
        assert.is(committer.commit(), 'done');
      },
      onFromChain: (chain) => {
        this.#beginReplay(chain);
      },
    });
    if (this.disk.fromChain !== undefined) this.#beginReplay(this.disk.fromChain);
  }

  #beginReplay(chain: Chain): void {
    const {files, clock, shared, disk, config} = this;
    const {replayFile} = resourcePaths(config.home, config.resource.name);
    this.replayer = new Replayer({
      files,
      clock,
      host: createReplayHost(files, shared, (error) => {
        this.notes.push(`replay: ${error?.message ?? 'well again'}`);
      }),
      imageFd: disk.imageFd,
      identity: disk.identity,
      stateFile: openReplayState(files, replayFile).file,
      from: disk.state.from,
      to: disk.state.to,
      chain,
      pacing: {quietMs: 0, batchBytes: 100_000},
    });
  }

  kill(): void {
    this.files.kill();
    this.begin();
  }

  crash(mode: 'none' | 'all' | 'random' = 'none'): void {
    this.files.crash({mode, cut: 0, keepProbability: 0.5, tearProbability: 0.2});
    this.begin();
  }

  /** Receives what of `records` comes next, up to `end`, in frames of `most` records. */
  feed(records: readonly SourceRecord[], end = Infinity, most = 3): void {
    this.log.beginStream([]);
    let segment: SourceSegment | undefined;
    let pending: SourceRecord[] = [];
    const send = (): void => {
      const [first] = pending;
      if (first === undefined) return;
      this.log.takeRecords(first.position, Buffer.concat(pending.map(({bytes}) => bytes)));
      pending = [];
    };
    for (const record of records) {
      if (record.end <= this.log.position || record.end > end) continue;
      if (record.segment !== segment) {
        send();
        segment = record.segment;
        this.log.takeSegment({position: record.position, ...segment});
      }

      pending.push(record);
      if (pending.length >= most) send();
    }

    send();
  }

  /** Threads run until everything is replayed that may be. */
  settle(): void {
    for (let count = 0; count < STEPS_MAX; count += 1) {
      this.committer.commit();
      const position = this.replayer?.position ?? Infinity;
      if (position >= this.shared.replayLimit) return;
      this.clock.advance((this.replayer?.step() ?? 0) + 1);
    }

    assert.unreachable(`replay ends: ${this.notes.slice(-5).join('; ')}`);
  }

  work(): void {
    for (let count = 0; count < STEPS_MAX; count += 1) if (!this.log.step()) return;
    assert.unreachable('the log comes to rest');
  }

  image(): Buffer {
    return this.files.peek(PATHS.image, 0, this.sizeBytes);
  }

  /** The image must be the disk at the position that replay has published. */
  assertImage(records: readonly SourceRecord[], message = ''): void {
    const position = this.shared.replayed.get();
    const wanted = diskAt(records, position, this.sizeBytes);
    const found = this.image();
    if (found.equals(wanted)) return;
    const at = found.findIndex((byte, index) => byte !== wanted[index]);
    assert.unreachable(`byte ${at} of the image is wrong at ${position}; ${message}`);
  }

  logNames(): string[] {
    return this.files.peekNames(PATHS.logDirectory);
  }
}
