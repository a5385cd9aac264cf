/** A model of a source whose replay goes on, and a target on a simulated disk. */
import {resourcePaths, type ResourceFile} from '../../src/core/home.js';
import {formatPosition} from '../../src/core/position.js';
import type {DiskConfig} from '../../src/disk/config.js';
import {
  emptySyncState,
  readSyncState,
  writeSyncState,
  type SyncState,
} from '../../src/disk/sync-state.js';
import {runSyncTarget} from '../../src/disk/sync-target.js';
import type {SyncTargetOptions} from '../../src/disk/sync-target-options.js';
import {SYNC_CHUNK_BYTES} from '../../src/log/frame-schemas.js';
import type {LineageEntry} from '../../src/log/lineage.js';
import type {SourceImage} from '../../src/replica/source-image.js';
import {
  serveSync,
  type SourceProgress,
  type SyncPositions,
  type SyncSourceOptions,
} from '../../src/replica/sync-source.js';
import {duplexPair, type Passing} from '../helpers/duplex-pair.js';
import {below, chance, createRandom, type Random} from '../sim/random.js';
import {SimDisk} from '../sim/sim-disk.js';

export const CHUNK = SYNC_CHUNK_BYTES;
export const HOME = '/home';
export const NAME = 'vol0';
const BLOCK = 4096;
/** Bytes of log that a record of the model takes. */
const RECORD = 4096 + 128;

/** The log of the model: a block for each record. */
interface ModelRecord {
  readonly block: number;
  readonly fill: number;
}

/** A source: an image, the log that goes into it, and replay in batches that stop anywhere. */
export class SourceModel {
  readonly sizeBytes: number;
  readonly image: Buffer;
  readonly records: ModelRecord[] = [];
  /** Pinned positions, in order. */
  readonly pins: number[] = [];
  /** Nothing below is in the log any more. */
  oldest = 0;
  from = 0;
  to = 0;
  /** Another branch has other chain values from here on. */
  branch: {at: number; name: number} | undefined;
  lineage: LineageEntry[] = [entry(1, 0)];
  /** Replay goes on with this before each read. */
  random: Random | undefined;
  reads = 0;
  scan: SourceImage['scan'];
  /** Records below are in the image. */
  #applied = 0;

  constructor(sizeBytes: number, image: Buffer = Buffer.alloc(sizeBytes)) {
    this.sizeBytes = sizeBytes;
    this.image = image;
    this.scan = (_, onExtent) => {
      onExtent(0, this.sizeBytes);
      return Promise.resolve();
    };
  }

  append(random: Random, count: number): void {
    for (let index = 0; index < count; index += 1) {
      const block = below(random, Math.floor(this.sizeBytes / BLOCK));
      this.records.push({block, fill: 1 + below(random, 255)});
    }
  }

  /** Some of a batch, or its end. */
  step(random: Random): void {
    this.append(random, below(random, 4));
    const limit = this.records.length * RECORD;
    if (this.from === this.to) {
      if (this.to === limit) return;
      this.to = Math.min(limit, this.to + RECORD * (1 + below(random, 6)));
    }

    while (this.#applied * RECORD < this.to && chance(random, 0.7)) this.#apply();
    if (this.#applied * RECORD === this.to) this.from = this.to;
  }

  /** All that is in the log is in the image. */
  replayAll(): void {
    this.to = this.records.length * RECORD;
    while (this.#applied * RECORD < this.to) this.#apply();
    this.from = this.to;
  }

  chainOf(position: number): string {
    const {branch} = this;
    const name = branch !== undefined && position > branch.at ? branch.name : 0;
    return formatPosition(position * 16 + name);
  }

  positions(): SyncPositions {
    const {from, to, sizeBytes, lineage} = this;
    return {from, to, sizeBytes, lineage};
  }

  /** `image` with the log of [begin, end) replayed upon it, as the target's replay does. */
  replayUpon(image: Buffer, begin: number, end: number): Buffer {
    const result = Buffer.from(image);
    for (const {block, fill} of this.records.slice(begin / RECORD, end / RECORD)) {
      result.fill(fill, block * BLOCK, (block + 1) * BLOCK);
    }

    return result;
  }

  /** The disk as of `position`, from an image that was `start` at 0. */
  stateAt(start: Buffer, position: number): Buffer {
    return this.replayUpon(start, 0, position);
  }

  options(): Omit<SyncSourceOptions, 'stream' | 'resourceId'> {
    return {
      image: {
        read: (offset, target) => {
          this.reads += 1;
          if (this.random !== undefined) this.step(this.random);
          this.image.copy(target, 0, offset, offset + target.length);
          return Promise.resolve();
        },
        scan: (sizeBytes, onExtent) => this.scan(sizeBytes, onExtent),
        close: () => Promise.resolve(),
      },
      positions: () => Promise.resolve(this.positions()),
      chainAt: (position) => {
        const isThere = position >= this.oldest && position <= this.records.length * RECORD;
        return Promise.resolve(isThere ? this.chainOf(position) : undefined);
      },
      pin: (position) => {
        this.pins.push(position);
        return Promise.resolve();
      },
    };
  }

  #apply(): void {
    const record = this.records[this.#applied];
    if (record === undefined) throw new RangeError('a batch ends with the log');
    this.image.fill(record.fill, record.block * BLOCK, (record.block + 1) * BLOCK);
    this.#applied += 1;
  }
}

export function entry(number: number, start: number): LineageEntry {
  return {
    epoch: number.toString(16).padStart(32, '0'),
    node: 'a'.repeat(32),
    nodeName: 'alpha',
    start: formatPosition(start),
    chain: '0'.repeat(16),
  };
}

export function makeConfig(sizeBytes: number): DiskConfig {
  const createdAt = '2026-11-22T00:00:00.000Z';
  const resource: ResourceFile = {
    schema: 1,
    name: NAME,
    id: 'b'.repeat(32),
    sizeBytes,
    createdAt,
    imagePath: resourcePaths(HOME, NAME).image,
    imageOwned: true,
    designatedRole: 'secondary',
    attached: true,
    replayPaused: false,
    device: true,
    driver: 'auto',
    segmentBytes: 4 * CHUNK,
    alignmentBytes: 8,
    durability: 'flush',
  };
  return {
    home: HOME,
    node: {
      schema: 1,
      name: 'beta',
      id: 'c'.repeat(32),
      mounts: '/run/mars',
      devices: '/dev/mars',
      createdAt,
    },
    resource,
  };
}

/** What the join of a resource leaves on the target's disk. */
export function makeTarget(seed: number, sizeBytes: number, image?: Buffer): SimDisk {
  const disk = new SimDisk({random: createRandom(seed)});
  const paths = resourcePaths(HOME, NAME);
  disk.makeDirectory(paths.directory);
  const fd = disk.open(paths.image, 'exclusive');
  disk.truncate(fd, sizeBytes);
  if (image !== undefined) {
    for (let offset = 0; offset < image.length; offset += CHUNK) {
      const length = Math.min(CHUNK, image.length - offset);
      if (image.subarray(offset, offset + length).every((byte) => byte === 0)) continue;
      disk.write(fd, image, offset, length, offset);
    }
  }

  disk.sync(fd);
  disk.close(fd);
  writeSyncState(disk, HOME, NAME, emptySyncState(sizeBytes, CHUNK));
  for (const path of ['/', HOME, `${HOME}/resources`, paths.directory]) disk.syncDirectory(path);
  return disk;
}

/** The image on the target's disk; `stable`: after a power loss that keeps nothing. */
export function imageOf(disk: SimDisk, sizeBytes: number, stable = false): Buffer {
  return disk.peek(resourcePaths(HOME, NAME).image, 0, sizeBytes, stable);
}

export function stateOf(disk: SimDisk): SyncState | undefined {
  return readSyncState(disk, HOME, NAME);
}

export interface SyncResult {
  readonly state: SyncState | undefined;
  readonly error: unknown;
  readonly sourceError: unknown;
  readonly progress: SourceProgress | undefined;
  /** Bytes to the source and to the target. */
  readonly toSource: number;
  readonly toTarget: number;
}

export interface SyncWishes {
  readonly passing?: Passing;
  readonly target?: Partial<SyncTargetOptions>;
  readonly source?: Partial<SyncSourceOptions>;
}

/** One stream from its begin to its end. Right is the target. */
export async function syncOnce(
  source: SourceModel,
  disk: SimDisk,
  wishes: SyncWishes = {},
): Promise<SyncResult> {
  const pair = duplexPair(wishes.passing);
  const config = makeConfig(source.sizeBytes);
  let nowMs = 0;
  const [target, served] = await Promise.allSettled([
    runSyncTarget({
      files: disk,
      clock: {wallMs: () => nowMs, monotonicMs: () => (nowMs += 1)},
      config,
      stream: pair.right,
      persistMs: 10,
      scan: (fd, sizeBytes, onExtent) => {
        onExtent(0, sizeBytes);
        return Promise.resolve(true);
      },
      ...wishes.target,
    }),
    serveSync({
      ...source.options(),
      stream: pair.left,
      resourceId: config.resource.id,
      ...wishes.source,
    }),
  ]);
  const sent = pair.sent();
  return {
    state: target.status === 'fulfilled' ? target.value : undefined,
    error: target.status === 'rejected' ? target.reason : undefined,
    sourceError: served.status === 'rejected' ? served.reason : undefined,
    progress: served.status === 'fulfilled' ? served.value : undefined,
    toSource: sent.left,
    toTarget: sent.right,
  };
}

/** Random content, chunk by chunk: data, or zeros. */
export function randomImage(random: Random, sizeBytes: number, dataProbability = 1): Buffer {
  const image = Buffer.alloc(sizeBytes);
  for (let offset = 0; offset < sizeBytes; offset += CHUNK) {
    if (!chance(random, dataProbability)) continue;
    image.fill(1 + below(random, 255), offset, Math.min(offset + CHUNK, sizeBytes));
    image.writeUInt32LE(below(random, 2 ** 32), offset);
  }

  return image;
}
