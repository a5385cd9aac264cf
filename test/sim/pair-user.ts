/** The user of whichever node serves: sends requests as the kernel would, remembers the answers. */
import {PENDING, WRITE_HEADROOM_BYTES, WRITE_TAILROOM_BYTES} from '../../src/fuse/handler.js';
import type {Responder} from '../../src/fuse/handler.js';
import {MIB} from '../../src/core/units.js';
import type {Life} from './life.js';
import {stampedBytes} from './model-disk.js';
import {SimFailure} from './oracle.js';
import type {PairJudge} from './pair-judge.js';
import type {PairNode} from './pair-node.js';

export interface PairUserOptions {
  /** Everything below `position` of the epoch that is served is to stay. */
  readonly promise: (position: number) => void;
  /** An error for the user needs a fault that explains it. */
  readonly excuse: (what: string) => void;
  /** Stamp of the next write. */
  readonly stamp: () => number;
}

/** Requests that may be open before a new one is not sent. */
const OPEN_MAX = 32;

export class PairUser implements Responder {
  readonly #options: PairUserOptions;
  readonly #buffer = Buffer.alloc(WRITE_HEADROOM_BYTES + MIB + WRITE_TAILROOM_BYTES);
  /** Position that a flush promises; undefined for a change. */
  #open = new Map<number, number | undefined>();
  #last = 0;

  constructor(options: PairUserOptions) {
    this.#options = options;
  }

  get openCount(): number {
    return this.#open.size;
  }

  write({front}: Life, offset: number, length: number): void {
    const bytes = stampedBytes(length, this.#options.stamp());
    bytes.copy(this.#buffer, WRITE_HEADROOM_BYTES);
    this.#send('write', undefined, (unique) =>
      front.write(offset, length, this.#buffer, WRITE_HEADROOM_BYTES, unique, 0),
    );
    this.#buffer.fill(0xdd, 0, WRITE_HEADROOM_BYTES + length);
  }

  discard({front}: Life, offset: number, length: number): void {
    this.#send('discard', undefined, (unique) => front.zero(offset, length, true, unique, 0));
  }

  flush({front}: Life): void {
    const target = front.log.position;
    this.#send('flush', target, (unique) => front.flush(unique, 0));
  }

  answerWrite(uniqueLow: number): void {
    this.answer(uniqueLow, 0, 0);
  }

  answer(uniqueLow: number, _uniqueHigh: number, errno: number): void {
    if (!this.#open.has(uniqueLow)) throw new SimFailure(`request ${uniqueLow} answered twice`);
    const target = this.#open.get(uniqueLow);
    this.#open.delete(uniqueLow);
    if (errno !== 0) this.#options.excuse(`a request was answered with errno ${errno}`);
    else if (target !== undefined) this.#options.promise(target);
  }

  /** The process died: nobody answers any more. */
  forget(): void {
    this.#open = new Map();
  }

  #send(kind: string, target: number | undefined, call: (unique: number) => number): void {
    if (this.#open.size >= OPEN_MAX) return;
    this.#last += 1;
    const unique = this.#last;
    const result = call(unique);
    if (result === PENDING) this.#open.set(unique, target);
    else if (result !== 0) this.#options.excuse(`a ${kind} was refused with errno ${result}`);
    else if (target !== undefined) this.#options.promise(target);
  }
}

/** The user of a node, whose judge hears what was promised. */
export function pairUserOf(node: PairNode, judge: PairJudge, stamp: () => number): PairUser {
  return new PairUser({
    promise: (position) => {
      if (node.serve === undefined) return;
      const {epoch} = node.serve.disk;
      judge.history.promise(epoch, position);
      const mode = node.modeInForce;
      if (mode !== undefined) judge.promises.promise(epoch, position, mode);
    },
    excuse: (what) => {
      if (node.disk.faults.injected === 0) throw new SimFailure(`${what} without a fault`);
    },
    stamp,
  });
}
