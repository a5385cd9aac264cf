/**
 * What the threads of a disk process share: one block of memory. Each field has one writer.
 *
 *   field       writer   meaning
 *   appended    front    end of the log: everything below is in the logfile (page cache)
 *   durable     commitLock  everything below is on stable storage
 *   replayTo    replay   the image may hold blocks up to here
 *   replayed    replay   the image holds, durably, everything below
 *   segments    front    number, descriptor and start of each segment, by ordinal
 *   readyUpTo   keeper   segments up to this number are ready
 *   retain      main     nothing at or above it is recycled: somebody still fetches it
 *   originDurable  main   what the origin of a log that is followed has on stable storage
 *   confirmed   main     everything below is where the mode wants it: with enough replicas
 *   flushes     front -> commit   requests that wait for durability, and since when
 *   latencies   one row for each writer and kind: how often it took how long
 */
import {assert} from '../core/assert.js';
import {LATENCY_BUCKET_COUNT, latencyBucketOf} from '../core/latency.js';

const TWO_32 = 2 ** 32;
const SEGMENT_RING = 8192;
const FLUSH_RING = 2048;
const SEGMENT_WORDS = 4;
const FLUSH_WORDS = 5;

/** Words of the control block. */
export const WORD = {
  appended: 0,
  durable: 3,
  replayTo: 6,
  replayed: 9,
  commitSignal: 12,
  replaySignal: 13,
  frontSignal: 14,
  /** 1: a thread is in a commit; who holds it writes `durable`. */
  commitLock: 15,
  segmentFirst: 16,
  segmentEnd: 17,
  readyUpTo: 18,
  currentNumber: 19,
  flushHead: 20,
  flushTail: 21,
  /** 1 + ordinal of a segment whose fdatasync failed; 0: none. */
  commitFailed: 22,
  replayPaused: 23,
  /** Replay must make room: index or log space is short. */
  replayForced: 24,
  replayState: 25,
  /** 1: writes are parked for want of a ready segment. */
  parked: 26,
  command: 27,
  commandDone: 28,
  commandResult: 29,
  commandArgument: 30,
  stopping: 33,
  /** 1: the log cannot be written any more: every write and flush is refused with EIO. */
  logDefective: 34,
  /** Segments with these numbers failed under I/O: their files are not used again. */
  badFrom: 35,
  badUpTo: 39,
  diskSize: 36,
  /** Segments that the front wants ready at once, for a tail that has to move; 0: no wish. */
  readyWanted: 41,
  /** The keeper cannot make the next segment: KEEPER_NO_ROOM or KEEPER_FAILED; 0: it can. */
  keeperTroubled: 42,
  /** The retained position and one; 0: nothing is retained. */
  retain: 43,
  /** What the origin of a followed log has durable. */
  originDurable: 46,
  /** 1: the log is another node's; only what is durable there, too, goes to the image. */
  following: 49,
  /** 1: a batch of replay runs, or the log is being cut: never both. */
  replayLock: 50,
  /** 1: make the log durable now, though nobody waits and little has gathered. */
  commitWanted: 51,
  /** 1: a flush waits until it is confirmed as well (core/mode). */
  synchronous: 52,
  /** 1: the main thread was told that a flush waits to be confirmed, and did not look yet. */
  confirmWanted: 53,
  confirmed: 54,
  /** 1: the main thread is to be told when the log has become durable: a peer waits for it. */
  durableWanted: 57,
  /** 1: the front takes no more requests, until it is 0 again or the process ends. */
  resting: 58,
  /** KiB of writes a second that the front lets through; 0: all of them. */
  writeLimitKib: 59,
  /** Replay is not to wait for more to merge, before writes have to wait for it. */
  spaceShort: 60,
  /** Descriptor of the file that says how far the log is durable (disk/durable-word); 0: none. */
  durableFile: 61,
  /** 1: the commit thread sleeps without a limit, as nothing was written for a while. */
  commitAsleep: 62,
  /** 1: the replay thread does, as all that is durable is in the image. */
  replayAsleep: 63,
  /** Nothing at or above it, less one, goes to the image: a moment is mounted. 0: none is. */
  replayHold: 70,
  /** Replay trails behind by so many seconds. */
  historySeconds: 73,
  /** ... but the log that waits for it never takes more than this. */
  historyRoom: 74,
  /** ... and it goes up to here at once: before, the image is no state of the disk. */
  historyFloor: 77,
  /** 1: it does not trail as far as it should, for want of room. */
  historyShort: 80,
  /** Milliseconds since 1970: time of the newest record that the image may hold; 0: not known. */
  replayedTime: 81,
  /** Text that goes with a command: up to LABEL_BYTES_MAX, behind it zeros. */
  label: 96,
  /** 0: the log holds every write. Else writes go past it, to as many regions of the image and one. */
  bypass: 85,
  /** 1: the last append found no room in a file that has all its space, as where overwriting takes some. */
  appendNoRoom: 86,
  /** 1: disk.img cannot be opened: its content is on the way back to a moment. */
  closed: 87,
  /** Bytes that go with a `revert`. */
  revertBytes: 88,
} as const;

/** `keeperTroubled`: others' space, or log that is let go, would help; or it would not. */
export const KEEPER_NO_ROOM = 1;
export const KEEPER_FAILED = 2;

/** What the main thread asks of the front. `rest` with argument 1: begin as soon as nothing is parked; with 0: do not, after all. `mark`: the argument becomes its position. `bypass`: write to the image, past the log. `revert`: `content` becomes the content at the argument, which becomes the bytes that were written. */
export const COMMAND = {
  none: 0,
  rotate: 1,
  resize: 2,
  rest: 3,
  mark: 4,
  bypass: 5,
  revert: 6,
  imageFailed: 7,
} as const;
export const LABEL_BYTES_MAX = 64;

/** Most that one `revert` brings. */
export const REVERT_BYTES_MAX = 1024 * 1024;

const CONTROL_WORDS = 128;
const COUNTER_MAX = 16;

/** Rows of latencies: each has one writer. */
export const LATENCY_ROW = {
  frontWrite: 0,
  frontFlush: 1,
  commitWrite: 2,
  commitFlush: 3,
  replay: 4,
} as const;

export type LatencyRow = (typeof LATENCY_ROW)[keyof typeof LATENCY_ROW];

const LATENCY_ROWS = Object.keys(LATENCY_ROW).length;
/** The buckets of a row, and behind them the sum in milliseconds. */
const LATENCY_COLUMNS = LATENCY_BUCKET_COUNT + 1;

const LATENCIES_AT = CONTROL_WORDS * 4 + COUNTER_MAX * 8;
const SINCE_AT = LATENCIES_AT + LATENCY_ROWS * LATENCY_COLUMNS * 8;
const SEGMENTS_AT = SINCE_AT + FLUSH_RING * 8;
const FLUSHES_AT = SEGMENTS_AT + SEGMENT_RING * SEGMENT_WORDS * 4;

export const SHARED_BYTES = FLUSHES_AT + FLUSH_RING * FLUSH_WORDS * 4;
/** With what a rollback hands over; never touched before the first one, so that it takes no memory. */
export const SHARED_BYTES_ALL = SHARED_BYTES + REVERT_BYTES_MAX;

/** A number up to 2^53 in three words: sequence, low, high. One writer, any number of readers. */
class SharedNumber {
  readonly #words: Int32Array;
  readonly #at: number;

  constructor(words: Int32Array, at: number) {
    this.#words = words;
    this.#at = at;
  }

  set(value: number): void {
    const words = this.#words;
    const at = this.#at;
    const sequence = words[at] ?? 0;
    Atomics.store(words, at, sequence + 1);
    Atomics.store(words, at + 1, value | 0);
    Atomics.store(words, at + 2, (value / TWO_32) | 0);
    Atomics.store(words, at, (sequence + 2) | 0);
  }

  get(): number {
    const words = this.#words;
    const at = this.#at;
    for (;;) {
      const sequence = Atomics.load(words, at);
      const low = Atomics.load(words, at + 1) >>> 0;
      const high = Atomics.load(words, at + 2);
      if ((sequence & 1) === 0 && Atomics.load(words, at) === sequence) return high * TWO_32 + low;
    }
  }
}

/** One segment as every thread sees it. */
export interface SharedSegment {
  readonly ordinal: number;
  readonly number: number;
  readonly fd: number;
  readonly start: number;
  /** Start of the next one; Infinity for the last. */
  readonly end: number;
}

/** A request that waits: `writtenBytes` 0 for a flush, else a write with durability `write`. */
export interface WaitingRequest {
  uniqueLow: number;
  uniqueHigh: number;
  target: number;
  writtenBytes: number;
  /** When it came, on a clock that all threads share. */
  sinceMs: number;
}

/** The shared memory of one disk process, in the view of one thread. */
export class Shared {
  readonly words: Int32Array;
  readonly appended: SharedNumber;
  readonly durable: SharedNumber;
  readonly replayTo: SharedNumber;
  readonly replayed: SharedNumber;
  readonly diskSize: SharedNumber;
  readonly commandArgument: SharedNumber;
  readonly originDurable: SharedNumber;
  readonly confirmed: SharedNumber;
  readonly historyRoom: SharedNumber;
  readonly historyFloor: SharedNumber;
  readonly replayedTime: SharedNumber;
  /** What a `revert` is to bring; empty without memory for it. */
  readonly content: Buffer;
  readonly #replayHold: SharedNumber;
  readonly #retain: SharedNumber;
  /** Counters in the order of DISK_COUNTERS; each has one writer. */
  readonly counters: Float64Array;
  readonly #latencies: Float64Array;
  readonly #segments: Int32Array;
  readonly #flushes: Int32Array;
  readonly #since: Float64Array;

  constructor(memory: SharedArrayBuffer | ArrayBuffer) {
    assert(memory.byteLength >= SHARED_BYTES, 'shared memory has its size');
    this.words = new Int32Array(memory, 0, CONTROL_WORDS);
    this.counters = new Float64Array(memory, CONTROL_WORDS * 4, COUNTER_MAX);
    this.#latencies = new Float64Array(memory, LATENCIES_AT, LATENCY_ROWS * LATENCY_COLUMNS);
    this.#since = new Float64Array(memory, SINCE_AT, FLUSH_RING);
    this.#segments = new Int32Array(memory, SEGMENTS_AT, SEGMENT_RING * SEGMENT_WORDS);
    this.#flushes = new Int32Array(memory, FLUSHES_AT, FLUSH_RING * FLUSH_WORDS);
    this.content = Buffer.from(memory, SHARED_BYTES, memory.byteLength - SHARED_BYTES);
    this.appended = new SharedNumber(this.words, WORD.appended);
    this.durable = new SharedNumber(this.words, WORD.durable);
    this.replayTo = new SharedNumber(this.words, WORD.replayTo);
    this.replayed = new SharedNumber(this.words, WORD.replayed);
    this.diskSize = new SharedNumber(this.words, WORD.diskSize);
    this.commandArgument = new SharedNumber(this.words, WORD.commandArgument);
    this.originDurable = new SharedNumber(this.words, WORD.originDurable);
    this.confirmed = new SharedNumber(this.words, WORD.confirmed);
    this.historyRoom = new SharedNumber(this.words, WORD.historyRoom);
    this.historyFloor = new SharedNumber(this.words, WORD.historyFloor);
    this.replayedTime = new SharedNumber(this.words, WORD.replayedTime);
    this.#replayHold = new SharedNumber(this.words, WORD.replayHold);
    this.#retain = new SharedNumber(this.words, WORD.retain);
  }

  /** Nothing at or above it is recycled or deleted; Infinity: nobody needs more than replay does. */
  get retainFrom(): number {
    const value = this.#retain.get();
    return value === 0 ? Infinity : value - 1;
  }

  /** Main thread only. */
  retain(position: number): void {
    assert(position >= 0, 'a position to retain from, or Infinity');
    this.#retain.set(position === Infinity ? 0 : position + 1);
  }

  /** Replay goes no further than this; Infinity: as far as it likes. */
  get replayHold(): number {
    const value = this.#replayHold.get();
    return value === 0 ? Infinity : value - 1;
  }

  /** Of the command that is given next, or runs. */
  get label(): string {
    const bytes = this.#labelBytes();
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
  }

  set label(text: string) {
    const bytes = this.#labelBytes().fill(0);
    assert(Buffer.byteLength(text) <= bytes.length, 'a label within LABEL_BYTES_MAX');
    bytes.write(text);
  }

  #labelBytes(): Buffer {
    const {buffer, byteOffset} = this.words;
    return Buffer.from(buffer, byteOffset + WORD.label * 4, LABEL_BYTES_MAX);
  }

  /** Main thread only. */
  holdReplay(position: number): void {
    assert(position >= 0, 'a position to hold replay at, or Infinity');
    this.#replayHold.set(position === Infinity ? 0 : position + 1);
  }

  /** Up to where the log may go to the image: durable here, and where it comes from. */
  get replayLimit(): number {
    const durable = this.durable.get();
    if (this.get(WORD.following) === 0) return durable;
    return Math.min(durable, this.originDurable.get());
  }

  /** Flushes of everything below may be answered. */
  get flushLimit(): number {
    const durable = this.durable.get();
    return this.get(WORD.synchronous) === 0 ? durable : Math.min(durable, this.confirmed.get());
  }

  /** Everything is in the image, and the next file is ready: the keeper waits for neither. */
  get isAtRest(): boolean {
    return this.replayed.get() === this.appended.get() && this.get(WORD.keeperTroubled) === 0;
  }

  /** @returns false where another thread has it; never waits */
  tryLock(word: number): boolean {
    return Atomics.compareExchange(this.words, word, 0, 1) === 0;
  }

  unlock(word: number): void {
    Atomics.store(this.words, word, 0);
  }

  get(word: number): number {
    return Atomics.load(this.words, word);
  }

  set(word: number, value: number): void {
    Atomics.store(this.words, word, value);
  }

  /** `count` of what the row is for took this long; for the writer of the row only. */
  noteLatency(row: LatencyRow, milliseconds: number, count = 1): void {
    const latencies = this.#latencies;
    const first = row * LATENCY_COLUMNS;
    const bucket = first + latencyBucketOf(milliseconds);
    const sum = first + LATENCY_BUCKET_COUNT;
    latencies[bucket] = (latencies[bucket] ?? 0) + count;
    latencies[sum] = (latencies[sum] ?? 0) + milliseconds * count;
  }

  /** Rows added up: counts by bucket, and behind them the sum in milliseconds. */
  latencies(...rows: readonly LatencyRow[]): number[] {
    return Array.from({length: LATENCY_COLUMNS}, (_, column) =>
      rows.reduce<number>((sum, row) => {
        return sum + (this.#latencies[row * LATENCY_COLUMNS + column] ?? 0);
      }, 0),
    );
  }

  /** Wakes whoever waits on a signal word; a wait that begins later returns at once. */
  signal(word: number): void {
    Atomics.add(this.words, word, 1);
    Atomics.notify(this.words, word);
  }

  /**
   * For whoever has brought work: wakes a thread that sleeps without a limit, and costs no system call
   * where it does not.
   */
  wakeIfAsleep(asleepWord: number, signalWord: number): void {
    if (this.get(asleepWord) === 0) return;
    if (Atomics.exchange(this.words, asleepWord, 0) !== 0) this.signal(signalWord);
  }

  /**
   * For a thread that found nothing to do: sleeps until it is signalled or woken.
   *
   * @param signal of `signalWord`, as it was before the thread looked for work
   * @param isIdle whether there is still nothing to do: whoever brings work after this look wakes it
   */
  sleepUntilWoken(
    asleepWord: number,
    signalWord: number,
    signal: number,
    isIdle: () => boolean,
  ): void {
    this.set(asleepWord, 1);
    if (isIdle()) Atomics.wait(this.words, signalWord, signal);
    this.set(asleepWord, 0);
  }

  /** Front only: publishes a segment as the one that is appended to. */
  pushSegment(number: number, fd: number, start: number): void {
    const ordinal = this.get(WORD.segmentEnd);
    assert(ordinal - this.get(WORD.segmentFirst) < SEGMENT_RING, 'segment ring has room');
    const at = (ordinal % SEGMENT_RING) * SEGMENT_WORDS;
    this.#segments[at] = number;
    this.#segments[at + 1] = fd;
    this.#segments[at + 2] = start | 0;
    this.#segments[at + 3] = (start / TWO_32) | 0;
    this.set(WORD.currentNumber, number);
    this.set(WORD.segmentEnd, ordinal + 1);
  }

  /** Who follows only, with both locks: takes the segments from `ordinal` on out of the log. */
  dropSegmentsFrom(ordinal: number): void {
    const first = this.get(WORD.segmentFirst);
    assert(
      ordinal >= first && ordinal <= this.get(WORD.segmentEnd),
      'segments are dropped in order',
    );
    const last = (ordinal - 1) % SEGMENT_RING;
    const number = ordinal > first ? (this.#segments[last * SEGMENT_WORDS] ?? 0) : 0;
    this.set(WORD.currentNumber, number);
    this.set(WORD.segmentEnd, ordinal);
  }

  get segmentFirst(): number {
    return this.get(WORD.segmentFirst);
  }

  get segmentEnd(): number {
    return this.get(WORD.segmentEnd);
  }

  /** Also for one that the keeper has just let go of: the ring is far longer than any reader is slow. */
  segment(ordinal: number): SharedSegment {
    const end = this.segmentEnd;
    assert(ordinal < end, 'segment exists');
    return {
      ordinal,
      number: this.#segments[(ordinal % SEGMENT_RING) * SEGMENT_WORDS] ?? 0,
      fd: this.#segments[(ordinal % SEGMENT_RING) * SEGMENT_WORDS + 1] ?? -1,
      start: this.#startOf(ordinal),
      end: ordinal + 1 < end ? this.#startOf(ordinal + 1) : Infinity,
    };
  }

  #startOf(ordinal: number): number {
    const at = (ordinal % SEGMENT_RING) * SEGMENT_WORDS;
    return (this.#segments[at + 3] ?? 0) * TWO_32 + ((this.#segments[at + 2] ?? 0) >>> 0);
  }

  /** Front only. @returns false where the ring is full */
  pushWaiting(
    uniqueLow: number,
    uniqueHigh: number,
    target: number,
    writtenBytes: number,
    sinceMs: number,
  ): boolean {
    const head = this.get(WORD.flushHead);
    if (this.waitingCount >= FLUSH_RING) return false;
    const at = (head & (FLUSH_RING - 1)) * FLUSH_WORDS;
    this.#flushes[at] = uniqueLow | 0;
    this.#flushes[at + 1] = uniqueHigh | 0;
    this.#flushes[at + 2] = target | 0;
    this.#flushes[at + 3] = (target / TWO_32) | 0;
    this.#flushes[at + 4] = writtenBytes;
    this.#since[head & (FLUSH_RING - 1)] = sinceMs;
    this.set(WORD.flushHead, head + 1);
    return true;
  }

  get waitingCount(): number {
    // The counters wrap at 2^31, after days of small fsyncs; the difference does not.
    return (this.get(WORD.flushHead) - this.get(WORD.flushTail)) | 0;
  }

  /** What the youngest of those who wait waits for; -1 where nobody does. */
  get newestWaiting(): number {
    const head = this.get(WORD.flushHead);
    if (head === this.get(WORD.flushTail)) return -1;
    const at = ((head - 1) & (FLUSH_RING - 1)) * FLUSH_WORDS;
    return (this.#flushes[at + 3] ?? 0) * TWO_32 + ((this.#flushes[at + 2] ?? 0) >>> 0);
  }

  /** Commit only. @returns false where nobody waits; else `request` is the oldest */
  peekWaiting(request: WaitingRequest): boolean {
    const tail = this.get(WORD.flushTail);
    if (tail === this.get(WORD.flushHead)) return false;
    const at = (tail & (FLUSH_RING - 1)) * FLUSH_WORDS;
    request.uniqueLow = (this.#flushes[at] ?? 0) >>> 0;
    request.uniqueHigh = (this.#flushes[at + 1] ?? 0) >>> 0;
    request.target = (this.#flushes[at + 3] ?? 0) * TWO_32 + ((this.#flushes[at + 2] ?? 0) >>> 0);
    request.writtenBytes = this.#flushes[at + 4] ?? 0;
    request.sinceMs = this.#since[tail & (FLUSH_RING - 1)] ?? 0;
    return true;
  }

  /** Commit only: the oldest was answered. */
  popWaiting(): void {
    this.set(WORD.flushTail, this.get(WORD.flushTail) + 1);
  }
}
