/**
 * Decides piece by piece whether to compress what goes to a peer. A name was chosen by a user, so it
 * is used for all that becomes smaller. `auto` uses it only where it makes the link faster: what
 * a byte costs to send, and to compress, is measured all the time.
 */
import type {Clock} from '../core/clock.js';
import type {PackingName, PackingWish} from '../core/packing-names.js';
import {choosePacking, pack} from '../log/packing.js';

/** Weight of the newest measurement. */
const WEIGHT = 0.2;
/** Less than that saved is not worth the other side's time. */
const RATIO_MAX = 0.9;
/** After pieces that did not become smaller, so many are sent as they are. */
const SKIP_MAX = 64;
/** Smaller pieces hardly become smaller. */
const BYTES_MIN = 512;

/** Compresses for one stream. */
export class Packer {
  readonly #wish: () => PackingWish;
  readonly #theirs: readonly string[] | undefined;
  readonly #clock: Clock;
  #skip = 0;
  #skipNext = 1;
  #sendMsPerByte = 0;
  #packMsPerByte = 0;
  #ratio = 0.5;

  /**
   * @param wish asked for each piece: it may change while a stream runs
   * @param theirs what the peer can unpack; undefined: an older peer, nothing is compressed
   */
  constructor(wish: () => PackingWish, theirs: readonly string[] | undefined, clock: Clock) {
    this.#wish = wish;
    this.#theirs = theirs;
    this.#clock = clock;
  }

  /** What is used now; undefined: nothing. */
  get name(): PackingName | undefined {
    return choosePacking(this.#wish(), this.#theirs);
  }

  /** @returns undefined where the bytes are better sent as they are */
  async pack(bytes: Buffer): Promise<{name: PackingName; packed: Buffer} | undefined> {
    const {name} = this;
    if (name === undefined || bytes.length < BYTES_MIN) return undefined;
    if (this.#skip > 0) {
      this.#skip -= 1;
      return undefined;
    }

    if (this.#wish() === 'auto' && !this.#isFaster()) {
      this.#rest();
      return undefined;
    }

    const begun = this.#clock.monotonicMs();
    const packed = await pack(name, bytes);
    const tookMs = this.#clock.monotonicMs() - begun;
    this.#packMsPerByte = mixed(this.#packMsPerByte, tookMs / bytes.length);
    this.#ratio = mixed(this.#ratio, packed.length / bytes.length);
    if (packed.length > bytes.length * RATIO_MAX) {
      this.#rest();
      return undefined;
    }

    this.#skipNext = 1;
    return {name, packed};
  }

  /** So long it took until the link had taken so many bytes, compressed or not. */
  noteSent(bytes: number, ms: number): void {
    this.#sendMsPerByte = mixed(this.#sendMsPerByte, ms / bytes);
  }

  #isFaster(): boolean {
    const plain = this.#sendMsPerByte;
    return this.#packMsPerByte + this.#ratio * plain < plain;
  }

  /** The longer it was no use, the rarer it is tried. */
  #rest(): void {
    this.#skip = this.#skipNext;
    this.#skipNext = Math.min(this.#skipNext * 2, SKIP_MAX);
    // What was measured long ago is believed less and less: else nothing would ever be tried again.
    this.#packMsPerByte *= 1 - WEIGHT;
    this.#ratio = mixed(this.#ratio, 0.5);
  }
}

function mixed(before: number, now: number): number {
  return before === 0 ? now : before * (1 - WEIGHT) + now * WEIGHT;
}
