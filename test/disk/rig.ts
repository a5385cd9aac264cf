/**
 * A disk process without threads for tests: the real front, committer, keeper and replay over the
 * simulated disk, a clock that stands still, and a model of what the disk must hold.
 */
import * as assert from 'uvu/assert';
import {resourcePaths} from '../../src/core/home.js';
import type {DiskConfig} from '../../src/disk/config.js';
import {WORD} from '../../src/disk/shared.js';
import {
  PENDING,
  WRITE_GAP_BYTES,
  WRITE_HEADROOM_BYTES,
  WRITE_TAILROOM_BYTES,
} from '../../src/fuse/handler.js';
import {makeWriteBatch} from '../helpers/write-batch.js';
import {beginLife, type Life} from '../sim/life.js';
import {createRandom, type Random} from '../sim/random.js';
import {SimClock} from '../sim/sim-clock.js';
import {SimDisk} from '../sim/sim-disk.js';
import type {SimCall} from '../sim/sim-faults.js';

export const HOME = '/home';
export const NAME = 'vol0';
export const PATHS = resourcePaths(HOME, NAME);
const REQUEST_BYTES_MAX = 256 * 1024;
const STEPS_MAX = 10_000;

export interface RigOptions {
  readonly seed?: number;
  readonly sizeBytes?: number;
  readonly segmentBytes?: number;
  readonly alignmentBytes?: number;
  readonly durability?: 'flush' | 'write';
  /** The front commits by itself where nobody else waits. */
  readonly inline?: boolean;
  /** From where a peer still fetches the log. */
  readonly retainFrom?: number;
  /** Rollbacks can be tried. */
  readonly reverts?: boolean;
}

/** Calls that change something durable or make it durable. */
const TRACED: readonly SimCall[] = [
  'write',
  'sync',
  'syncData',
  'truncate',
  'punch',
  'rename',
  'unlink',
  'syncDirectory',
];

export class Rig {
  readonly files: SimDisk;
  readonly clock = new SimClock();
  readonly config: DiskConfig;
  readonly model: Buffer;
  /** What was answered later: errno, or minus the bytes written. */
  readonly answers = new Map<number, number>();
  readonly notes: string[] = [];
  /** `call file` of every change, and `answer N`. */
  trace: string[] = [];
  life!: Life;
  /** What slots.json says to the next life. */
  retainFrom: number;
  readonly #request = Buffer.alloc(WRITE_HEADROOM_BYTES + REQUEST_BYTES_MAX + WRITE_TAILROOM_BYTES);
  readonly #random: Random;
  readonly #inline: boolean;
  readonly #reverts: boolean;
  #unique = 0;
  #stamp = 0;

  constructor(options: RigOptions = {}) {
    const {seed = 1, sizeBytes = 2 ** 20, segmentBytes = 128 * 1024} = options;
    this.#random = createRandom(seed);
    this.#inline = options.inline ?? false;
    this.#reverts = options.reverts ?? false;
    this.retainFrom = options.retainFrom ?? Infinity;
    this.files = new SimDisk({random: this.#random});
    this.model = Buffer.alloc(sizeBytes);
    this.config = makeConfig({...options, sizeBytes, segmentBytes});
    this.#prepare(sizeBytes);
    this.files.beforeCall = (_actor, call, path) => {
      if (TRACED.includes(call)) this.trace.push(`${call} ${path.split('/').at(-1) ?? ''}`);
    };
    this.begin();
  }

  #prepare(sizeBytes: number): void {
    this.files.makeDirectory(PATHS.directory);
    const fd = this.files.open(PATHS.image, 'exclusive');
    this.files.truncate(fd, sizeBytes);
    this.files.sync(fd);
    this.files.close(fd);
    for (const path of ['/', HOME, `${HOME}/resources`, PATHS.directory]) {
      this.files.syncDirectory(path);
    }
  }

  /** A new life of the process; the keeper has made its segments ready. */
  begin(): void {
    this.life = beginLife({
      files: this.files,
      clock: this.clock,
      config: this.config,
      random: (size) => Buffer.from(Array.from({length: size}, () => this.#random() * 256)),
      batchBytes: 2 ** 30,
      inline: this.#inline,
      reverts: this.#reverts,
      retainFrom: this.retainFrom,
      note: (text) => {
        this.notes.push(text);
      },
      responder: {
        answer: (low, _high, errno) => {
          this.#answer(low, errno);
        },
        answerWrite: (low, _high, writtenBytes) => {
          this.#answer(low, -writtenBytes);
        },
      },
    });
    this.keep();
  }

  #answer(unique: number, result: number): void {
    assert.not(this.answers.has(unique), `request ${unique} is answered once`);
    this.answers.set(unique, result);
    this.trace.push(`answer ${unique}`);
  }

  /** As `POST /retain` after slots.json was written. */
  retain(position: number): void {
    this.retainFrom = position;
    this.life.shared.retain(position);
    this.keep();
  }

  kill(): void {
    this.files.kill();
    this.begin();
  }

  /** Power is lost: with 'none' nothing that no sync covers is left. */
  crash(mode: 'none' | 'all' | 'random' = 'none'): void {
    this.files.crash({mode, cut: 0, keepProbability: 0.5, tearProbability: 0.2});
    this.begin();
  }

  /** @returns [result, unique] */
  write(offset: number, length: number): [number, number] {
    this.#stamp += 1;
    const unique = this.#next();
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at += 1) bytes[at] = (this.#stamp * 31 + at * 7 + 1) & 0xff;
    this.#request.fill(0xee);
    bytes.copy(this.#request, WRITE_HEADROOM_BYTES);
    const result = this.life.front.write(
      offset,
      length,
      this.#request,
      WRITE_HEADROOM_BYTES,
      unique,
      0,
    );
    // The kernel's next request comes into the same buffer.
    this.#request.fill(0xdd);
    if (result === 0 || result === PENDING) bytes.copy(this.model, offset);
    return [result, unique];
  }

  /** Writes that came together: [offset, length] each. @returns whether the front took them */
  writeBatch(ranges: readonly (readonly [offset: number, length: number])[]): boolean {
    const writes = ranges.map(([offset, length]) => {
      this.#stamp += 1;
      return {offset, bytes: Buffer.alloc(length, this.#stamp & 0xff)};
    });
    const batch = makeWriteBatch(writes);
    const isTaken = this.life.front.writeBatch(batch);
    // Refused, its payloads are as they were, for whoever writes them one by one.
    let at = batch.payloadOffset;
    for (const {offset, bytes} of writes) {
      if (isTaken) bytes.copy(this.model, offset);
      else assert.ok(batch.bytes.subarray(at, at + bytes.length).equals(bytes));
      at += bytes.length + WRITE_GAP_BYTES;
    }

    batch.bytes.fill(0xdd);
    return isTaken;
  }

  zero(offset: number, length: number, discard = true): [number, number] {
    const unique = this.#next();
    const result = this.life.front.zero(offset, length, discard, unique, 0);
    if (result === 0 || result === PENDING) {
      this.model.fill(0, offset, Math.min(offset + length, this.model.length));
    }

    return [result, unique];
  }

  flush(): [number, number] {
    const unique = this.#next();
    return [this.life.front.flush(unique, 0), unique];
  }

  /** Flushes and waits: afterwards everything is on stable storage. */
  flushed(): void {
    const [result, unique] = this.flush();
    if (result === PENDING) {
      this.until(() => this.answers.has(unique));
      assert.is(this.answers.get(unique), 0);
    } else assert.is(result, 0);
  }

  read(offset = 0, length = this.model.length): Buffer {
    const target = Buffer.alloc(length + 64, 0xcc);
    assert.is(this.life.front.read(offset, length, target, 32), 0);
    assert.ok(target.subarray(0, 32).every((byte) => byte === 0xcc));
    assert.ok(target.subarray(32 + length).every((byte) => byte === 0xcc));
    return target.subarray(32, 32 + length);
  }

  assertReads(message = ''): void {
    const found = this.read();
    if (found.equals(this.model)) return;
    const at = found.findIndex((byte, index) => byte !== this.model[index]);
    assert.unreachable(`byte ${at} of the disk is wrong; ${message}`);
  }

  /** The image alone must equal the model. */
  assertImage(): void {
    const image = this.files.peek(PATHS.image, 0, this.model.length);
    assert.ok(image.equals(this.model), 'the image holds what the disk does');
  }

  #next(): number {
    this.#unique += 1;
    return this.#unique;
  }

  /** The keeper works until it has nothing to do at once. */
  keep(): void {
    for (let count = 0; count < STEPS_MAX; count += 1) {
      if (this.life.keeper.step() > 0) return;
    }

    assert.unreachable('the keeper comes to rest');
  }

  commit(): void {
    this.life.committer.commit();
    this.life.front.afterRequest();
  }

  /** Commits, and replays everything. */
  replay(): void {
    this.commit();
    const {replayer, shared} = this.life;
    for (let count = 0; count < STEPS_MAX; count += 1) {
      if (replayer.position >= shared.durable.get()) return;
      this.clock.advance(replayer.step() + 1);
    }

    assert.unreachable(`replay ends: ${this.notes.slice(-20).join('; ')}`);
  }

  /** Runs all threads until `done`. */
  until(done: () => boolean): void {
    for (let count = 0; count < STEPS_MAX; count += 1) {
      if (done()) return;
      this.tick(10);
    }

    assert.unreachable(`it comes to pass: ${this.notes.slice(-20).join('; ')}`);
  }

  tick(milliseconds: number): void {
    this.life.committer.step();
    this.life.front.afterRequest();
    this.life.keeper.step();
    this.life.replayer.step();
    this.life.front.afterRequest();
    this.clock.advance(milliseconds);
  }

  logNames(): string[] {
    return this.files.peekNames(PATHS.logDirectory);
  }

  get parked(): boolean {
    return this.life.shared.get(WORD.parked) !== 0;
  }

  get defective(): boolean {
    return this.life.shared.get(WORD.logDefective) !== 0;
  }
}

function makeConfig(options: RigOptions & {sizeBytes: number; segmentBytes: number}): DiskConfig {
  const createdAt = '2026-11-22T00:00:00.000Z';
  return {
    home: HOME,
    node: {
      schema: 1,
      name: 'alpha',
      id: 'a'.repeat(32),
      mounts: '/run/mars',
      devices: '/dev/mars',
      createdAt,
    },
    resource: {
      schema: 1,
      name: NAME,
      id: 'b'.repeat(32),
      sizeBytes: options.sizeBytes,
      createdAt,
      imagePath: PATHS.image,
      imageOwned: true,
      designatedRole: 'primary',
      attached: true,
      replayPaused: false,
      device: true,
      driver: 'auto',
      segmentBytes: options.segmentBytes,
      alignmentBytes: options.alignmentBytes ?? 8,
      durability: options.durability ?? 'flush',
    },
  };
}
