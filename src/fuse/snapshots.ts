import type {DiskHandler} from './handler.js';

/** More openers of status.json than this see a fresh text in the middle of reading. */
const SNAPSHOTS_MAX = 16;

/**
 * The text of status.json as of each OPEN, so that a reader in several steps gets one document.
 * A handle of a dead process is not found: its reader goes on with a text as of now.
 */
export class StatusSnapshots {
  readonly #handler: DiskHandler;
  readonly #texts = new Map<string, Buffer>();
  readonly #generation: number;
  #next = 0;

  /** @param generation 32-bit word that tells handles of this process from those of dead ones */
  constructor(handler: DiskHandler, generation: number) {
    this.#handler = handler;
    this.#generation = generation >>> 0;
  }

  /** High word of each handle that `open` gives out. */
  get generation(): number {
    return this.#generation;
  }

  /** @returns the low word of the handle */
  open(): number {
    this.#next = (this.#next + 1) >>> 0;
    this.#take(this.#next, this.#generation);
    return this.#next;
  }

  /** @returns bytes copied, 0 at the end */
  read(
    handleLow: number,
    handleHigh: number,
    offset: number,
    length: number,
    target: Buffer,
    targetOffset: number,
  ): number {
    const text = this.#texts.get(key(handleLow, handleHigh)) ?? this.#take(handleLow, handleHigh);
    if (offset >= text.byteLength) return 0;
    return text.copy(target, targetOffset, offset, Math.min(text.byteLength, offset + length));
  }

  close(handleLow: number, handleHigh: number): void {
    this.#texts.delete(key(handleLow, handleHigh));
  }

  #take(handleLow: number, handleHigh: number): Buffer {
    const text = Buffer.from(this.#handler.statusJson());
    if (this.#texts.size >= SNAPSHOTS_MAX) {
      for (const oldest of this.#texts.keys()) {
        this.#texts.delete(oldest);
        break;
      }
    }

    this.#texts.set(key(handleLow, handleHigh), text);
    return text;
  }
}

function key(handleLow: number, handleHigh: number): string {
  return `${handleHigh}:${handleLow}`;
}
