/**
 * Requests that kill the process that handles them. The kernel sends them again to each new
 * generation, so without a limit the disk would die for ever; the third death ends with EIO for
 * this request only.
 *
 * Counted is not each sight of a resent request but each death with it in hand: a request that
 * merely waits (an FSYNC on the commit thread) while another one kills the process is innocent, and
 * EIO to it would be a false one. The file beside the INIT file holds what is in hand, and counts of
 * the past; it is in the page cache, which outlives the process, and is written for resent requests
 * only. It means nothing to another mount.
 */
import fs from 'node:fs';
import {isObject} from '../core/json-file.js';

/** Deaths with the same request in hand after which it is refused: the first had no bit 63. */
export const RESENT_SIGHTS_MAX = 3;
const ENTRIES_MAX = 64;
const KEPT_BYTES = 4096;

/** Counts the deaths that a resent request has caused. */
export class ResentGuard {
  readonly #file: string;
  readonly #sights = new Map<string, number>();
  #inHand: string | null = null;

  /** @param initFile the file beside which the counts are kept */
  constructor(initFile: string, isRestart: boolean) {
    this.#file = `${initFile}.resent`;
    if (isRestart) this.#load();
    else fs.rmSync(this.#file, {force: true});
  }

  /**
   * Takes a resent request in hand.
   *
   * @returns false where it has killed the process too often: refuse it
   */
  begin(uniqueLow: number, uniqueHigh: number): boolean {
    const id = idOf(uniqueLow, uniqueHigh);
    // This sight counts, as do those before that never came to an end.
    const sights = (this.#sights.get(id) ?? 0) + 1;
    this.#sights.delete(id);
    if (sights >= RESENT_SIGHTS_MAX) {
      this.#inHand = null;
      this.#save();
      return false;
    }

    this.#sights.set(id, sights);
    for (const oldest of this.#sights.keys()) {
      if (this.#sights.size <= ENTRIES_MAX) break;
      this.#sights.delete(oldest);
    }

    this.#inHand = id;
    this.#save();
    return true;
  }

  /** The request in hand did not kill us: it is answered, or waits for another thread. */
  end(): void {
    if (this.#inHand === null) return;
    this.#sights.delete(this.#inHand);
    this.#inHand = null;
    this.#save();
  }

  /** Keeps the beginning of a refused request, where there is room. @returns the file */
  keep(request: Buffer, offset: number, lengthBytes: number): string {
    const path = `${this.#file}.request`;
    const bytes = request.subarray(offset, offset + Math.min(lengthBytes, KEPT_BYTES));
    try {
      fs.writeFileSync(path, bytes, {mode: 0o600});
    } catch {
      // The report is worth more than the bytes.
    }

    return path;
  }

  #load(): void {
    let value: unknown;
    try {
      value = JSON.parse(fs.readFileSync(this.#file, 'utf8'));
    } catch {
      return; // none, or cut by the kill: counting begins again
    }

    if (!isObject(value)) return;
    for (const [id, count] of Object.entries(value)) {
      if (typeof count === 'number' && count > 0) this.#sights.set(id, count);
    }
  }

  #save(): void {
    try {
      if (this.#sights.size === 0) {
        fs.rmSync(this.#file, {force: true});
        return;
      }

      // Renamed, so that a kill in between leaves the old counts and not none.
      const text = JSON.stringify(Object.fromEntries(this.#sights));
      fs.writeFileSync(`${this.#file}.tmp`, text, {mode: 0o600});
      fs.renameSync(`${this.#file}.tmp`, this.#file);
    } catch {
      // A full disk loses the counting, never the request.
    }
  }
}

function idOf(uniqueLow: number, uniqueHigh: number): string {
  return `${uniqueHigh.toString(16).padStart(8, '0')}${uniqueLow.toString(16).padStart(8, '0')}`;
}
