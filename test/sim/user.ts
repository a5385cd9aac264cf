/**
 * The user of a simulated disk: sends requests as the kernel would, remembers what was answered,
 * and tells the oracle what was acknowledged, promised, or is in doubt.
 */
import {WORD} from '../../src/disk/shared.js';
import {
  PENDING,
  WRITE_HEADROOM_BYTES,
  WRITE_TAILROOM_BYTES,
  type Responder,
} from '../../src/fuse/handler.js';
import {MIB} from '../../src/core/units.js';
import {RECORD_HEADER_BYTES} from '../../src/log/record.js';
import {makeWriteBatch} from '../helpers/write-batch.js';
import type {Life} from './life.js';
import {stampedBytes} from './model-disk.js';
import {SimFailure, type Change, type Oracle} from './oracle.js';

/** What a change past the log counts for, as it has no place in the log. */
const PAST_LOG_BYTES = 4096;

/** A request that is not answered yet. */
interface OpenRequest {
  readonly kind: string;
  /** Undefined for a flush. */
  readonly change: Change | undefined;
  /** Position that is durable when this is answered. */
  readonly target: number;
  /** In the log already: only durability is waited for. */
  readonly applied: boolean;
}

export interface UserOptions {
  readonly oracle: Oracle;
  readonly durableWrites: boolean;
  readonly living: () => Life;
  /** Runs a call on the front's thread. */
  readonly asFront: <T>(call: () => T) => T;
  readonly excuse: (what: string) => void;
  readonly say: (text: string) => void;
}

export class User implements Responder {
  readonly #options: UserOptions;
  readonly #oracle: Oracle;
  readonly #buffer = Buffer.alloc(WRITE_HEADROOM_BYTES + MIB + WRITE_TAILROOM_BYTES, 0xdd);
  #open = new Map<number, OpenRequest>();
  #lastUnique = 0;
  #lastStamp = 0;
  /** What went past the log so far: the oracle counts it as if it were in there. */
  pastLogBytes = 0;

  constructor(options: UserOptions) {
    this.#options = options;
    this.#oracle = options.oracle;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** End of the log, and of what went past it. */
  get position(): number {
    return this.#options.living().front.log.position + this.pastLogBytes;
  }

  get #isPastLog(): boolean {
    return this.#options.living().shared.get(WORD.bypass) !== 0;
  }

  /** The same behind a change that was just acknowledged. */
  #passedPosition(change: Change): number {
    if (this.#isPastLog) {
      this.#oracle.pastLog(change);
      this.pastLogBytes += PAST_LOG_BYTES;
    }

    return this.position;
  }

  isOpen(unique: number): boolean {
    return this.#open.has(unique);
  }

  /** @returns a request that has to be waited for, or undefined */
  write(offset: number, length: number): number | undefined {
    if (offset + length > this.#oracle.model.sizeBytes || length > MIB) return undefined;
    this.#lastStamp += 1;
    return this.#writeBytes(offset, stampedBytes(length, this.#lastStamp));
  }

  #writeBytes(offset: number, bytes: Buffer): number | undefined {
    const {length} = bytes;
    bytes.copy(this.#buffer, WRITE_HEADROOM_BYTES);
    const {front} = this.#options.living();
    const waiting = this.#change({kind: 'write', offset, length, bytes}, 'write', (unique) =>
      front.write(offset, length, this.#buffer, WRITE_HEADROOM_BYTES, unique, 0),
    );
    // The buffer is used again at once, as the real one: whoever keeps it reads other bytes.
    this.#buffer.fill(0xdd, 0, WRITE_HEADROOM_BYTES + length + WRITE_TAILROOM_BYTES);
    return waiting;
  }

  /**
   * Writes of whole blocks that come together; those that end beyond the disk are left out. Where the
   * front does not take the batch they are written one by one.
   *
   * @returns requests, each of which has to be waited for before the next
   */
  *burst(ranges: readonly {offset: number; length: number}[]): Generator<number> {
    const inside = ranges.filter(({offset, length}) => {
      return offset + length <= this.#oracle.model.sizeBytes;
    });
    if (inside.length === 0) return;
    const changes = inside.map((range) => {
      this.#lastStamp += 1;
      return {kind: 'write' as const, ...range, bytes: stampedBytes(range.length, this.#lastStamp)};
    });
    const batch = makeWriteBatch(changes);
    const {front} = this.#options.living();
    let begin = this.position;
    let isTaken = false;
    try {
      isTaken = this.#options.asFront(() => front.writeBatch(batch));
    } catch (error) {
      for (const change of changes) this.#oracle.doubt(change, this.#isPastLog);
      throw error;
    } finally {
      batch.bytes.fill(0xdd);
    }

    if (isTaken) {
      for (const change of changes) {
        const end = begin + RECORD_HEADER_BYTES + change.length;
        this.#oracle.accept(change, begin, end);
        begin = end;
      }

      return;
    }

    // A part of the batch may be in the log all the same: who dies before all are written by themselves
    // leaves the rest in doubt, as requests that were never answered.
    let next = 0;
    try {
      for (const {offset, bytes} of changes) {
        next += 1;
        const waiting = this.#writeBytes(offset, bytes);
        if (waiting !== undefined) yield waiting;
      }
    } finally {
      for (const change of changes.slice(next)) this.#oracle.doubt(change, this.#isPastLog);
    }
  }

  zero(kind: 'discard' | 'zero', offset: number, length: number): number | undefined {
    const end = Math.min(offset + length, this.#oracle.model.sizeBytes);
    if (end <= offset) return undefined;
    const change: Change = {kind: 'zero', offset, length: end - offset, bytes: undefined};
    const {front} = this.#options.living();
    return this.#change(change, kind, (unique) =>
      front.zero(offset, length, kind === 'discard', unique, 0),
    );
  }

  flush(): number | undefined {
    const {front} = this.#options.living();
    const unique = this.#nextUnique();
    const target = this.#oracle.model.end;
    const result = this.#options.asFront(() => front.flush(unique, 0));
    if (result === PENDING) {
      this.#open.set(unique, {kind: 'flush', change: undefined, target, applied: true});
      return unique;
    }

    if (result === 0) this.#oracle.promise(target);
    else this.#options.excuse(`a flush was refused with errno ${result}`);
    return undefined;
  }

  answerWrite(uniqueLow: number, _uniqueHigh: number, writtenBytes: number): void {
    const request = this.#open.get(uniqueLow);
    if (request !== undefined && request.change?.length !== writtenBytes) {
      throw new SimFailure(`a ${request.kind} was answered with ${writtenBytes} bytes`);
    }

    this.answer(uniqueLow, 0, 0);
  }

  answer(uniqueLow: number, _uniqueHigh: number, errno: number): void {
    const request = this.#open.get(uniqueLow);
    if (request === undefined) throw new SimFailure(`request ${uniqueLow} was answered twice`);
    this.#open.delete(uniqueLow);
    const {kind, change, target, applied} = request;
    if (errno !== 0) {
      this.#options.excuse(`a ${kind} was answered with errno ${errno}`);
      if (change !== undefined && !applied) this.#oracle.doubt(change, this.#isPastLog);
      return;
    }

    if (change !== undefined && !applied) {
      const begin = this.#oracle.model.end;
      this.#oracle.accept(change, begin, this.#passedPosition(change));
    }

    // A write that is durable when it is acknowledged is as good as flushed.
    if (kind === 'flush' || (this.#options.durableWrites && applied)) this.#oracle.promise(target);
  }

  /**
   * What is not answered: who reads beside it may see a part of it, as on any disk. Past the log an image without
   * room has a part; a record may be in the log, and the PAD behind it found no room.
   */
  *underWay(): Generator<Change, void> {
    for (const {change, applied} of this.#open.values()) {
      if (change !== undefined && !applied) yield change;
    }
  }

  /** The process died: what it had not answered is in doubt. */
  forget(): void {
    for (const {change, applied} of this.#open.values()) {
      if (change !== undefined && !applied) this.#oracle.doubt(change, this.#isPastLog);
    }

    this.#open = new Map();
  }

  #change(change: Change, kind: string, call: (unique: number) => number): number | undefined {
    const {shared} = this.#options.living();
    const unique = this.#nextUnique();
    const begin = this.position;
    let result = 0;
    try {
      result = this.#options.asFront(() => call(unique));
    } catch (error) {
      this.#oracle.doubt(change, this.#isPastLog);
      throw error;
    }

    if (result === 0) {
      const end = this.#passedPosition(change);
      this.#oracle.accept(change, begin, end);
      if (this.#options.durableWrites) this.#oracle.promise(end);
      return undefined;
    }

    if (result !== PENDING) {
      this.#options.say(`  refused with errno ${result}`);
      this.#options.excuse(`a ${kind} was refused with errno ${result}`);
      this.#oracle.doubt(change, this.#isPastLog);
      return undefined;
    }

    const applied = shared.get(WORD.parked) === 0;
    const target = this.position;
    if (applied) this.#oracle.accept(change, begin, target);
    this.#open.set(unique, {kind, change, target, applied});
    // One change at a time where it is not known when a parked one enters the log.
    return !applied || this.#options.durableWrites ? unique : undefined;
  }

  #nextUnique(): number {
    this.#lastUnique += 1;
    return this.#lastUnique;
  }
}
