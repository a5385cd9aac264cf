/**
 * What the disk must contain, and what it contained at every position of the log since `base`:
 * after power loss the real disk has to equal the model at exactly one of them.
 *
 * Contents are pages of 4 KiB in a map, so that a disk of many TiB costs what was written to it.
 */
import {assert} from '../../src/core/assert.js';

export const MODEL_PAGE_BYTES = 4096;
const ZERO_PAGE = Buffer.alloc(MODEL_PAGE_BYTES);

type Pages = Map<number, Buffer>;

/** One change of the disk. */
export interface Version {
  /** Log position before its first record, and behind its last one. */
  readonly begin: number;
  readonly end: number;
  readonly kind: 'write' | 'zero' | 'resize';
  readonly offset: number;
  readonly length: number;
  readonly bytes: Buffer | undefined;
}

export class ModelDisk {
  #base: Pages = new Map();
  #baseEnd = 0;
  #baseSize: number;
  #current: Pages = new Map();
  #size: number;
  #versions: Version[] = [];

  constructor(sizeBytes: number) {
    this.#baseSize = sizeBytes;
    this.#size = sizeBytes;
  }

  get sizeBytes(): number {
    return this.#size;
  }

  /** Where the last change ended. */
  get end(): number {
    return this.#versions.at(-1)?.end ?? this.#baseEnd;
  }

  get versionCount(): number {
    return this.#versions.length;
  }

  write(offset: number, bytes: Buffer, begin: number, end: number): void {
    this.apply({begin, end, kind: 'write', offset, length: bytes.byteLength, bytes});
  }

  zero(offset: number, length: number, begin: number, end: number): void {
    this.apply({begin, end, kind: 'zero', offset, length, bytes: undefined});
  }

  resize(sizeBytes: number, begin: number, end: number): void {
    this.apply({begin, end, kind: 'resize', offset: sizeBytes, length: 0, bytes: undefined});
  }

  apply(version: Version): void {
    assert(version.begin >= this.end, 'changes come in the order of the log');
    assert(version.end >= version.begin, 'a change ends behind its begin');
    this.#versions.push(version);
    this.#size = apply(this.#current, this.#size, version);
  }

  /** @param target memory for the answer, of at least `length` bytes; default: its own */
  read(offset: number, length: number, target: Buffer = Buffer.alloc(length)): Buffer {
    for (let at = offset; at < offset + length;) {
      const within = at % MODEL_PAGE_BYTES;
      const count = Math.min(MODEL_PAGE_BYTES - within, offset + length - at);
      const page = this.#current.get(Math.floor(at / MODEL_PAGE_BYTES));
      if (page === undefined) target.fill(0, at - offset, at - offset + count);
      else page.copy(target, at - offset, within, within + count);
      at += count;
    }

    return target.subarray(0, length);
  }

  /** Pages that hold, or held at any remembered position, anything but zeros; sorted. */
  touchedPages(): number[] {
    const pages = new Set([...this.#base.keys(), ...this.#current.keys()]);
    for (const {kind, offset, length} of this.#versions) {
      if (kind !== 'write') continue;
      const last = Math.ceil((offset + length) / MODEL_PAGE_BYTES);
      for (let page = Math.floor(offset / MODEL_PAGE_BYTES); page < last; page += 1)
        pages.add(page);
    }

    return [...pages].sort((a, b) => a - b);
  }

  /** Forgets the versions at or below `position`: nobody can go back there any more. */
  settle(position: number): void {
    let count = 0;
    while ((this.#versions[count]?.end ?? Infinity) <= position) count += 1;
    for (const version of this.#versions.splice(0, count)) {
      this.#baseSize = apply(this.#base, this.#baseSize, version);
      this.#baseEnd = version.end;
    }
  }

  /**
   * Goes back to the state at `position`.
   *
   * @returns the changes that were taken back, oldest first; the first may straddle `position`
   */
  rewind(position: number): Version[] {
    assert(position >= this.#baseEnd, 'the model remembers this position');
    const kept = this.#versions.filter(({end}) => end <= position);
    const dropped = this.#versions.slice(kept.length);
    this.#versions = kept;
    this.#current = new Map(this.#base);
    this.#size = this.#baseSize;
    for (const version of kept) this.#size = apply(this.#current, this.#size, version);
    return dropped;
  }
}

/** Pages are replaced, never changed: base and current share them. */
function apply(pages: Pages, size: number, version: Version): number {
  const {kind, offset, length, bytes} = version;
  if (kind === 'resize') return offset;
  const end = offset + length;
  if (kind === 'zero') {
    for (const page of [...pages.keys()]) {
      const start = page * MODEL_PAGE_BYTES;
      if (start >= end || start + MODEL_PAGE_BYTES <= offset) continue;
      if (offset <= start && start + MODEL_PAGE_BYTES <= end) pages.delete(page);
      else pages.set(page, filled(pages.get(page), start, offset, end, undefined));
    }

    return size;
  }

  for (let page = Math.floor(offset / MODEL_PAGE_BYTES); page * MODEL_PAGE_BYTES < end; page += 1) {
    pages.set(page, filled(pages.get(page), page * MODEL_PAGE_BYTES, offset, end, bytes));
  }

  return size;
}

function filled(
  old: Buffer | undefined,
  start: number,
  offset: number,
  end: number,
  bytes: Buffer | undefined,
): Buffer {
  const page = Buffer.from(old ?? ZERO_PAGE);
  const from = Math.max(0, offset - start);
  const to = Math.min(MODEL_PAGE_BYTES, end - start);
  if (bytes === undefined) page.fill(0, from, to);
  else bytes.copy(page, from, start + from - offset, start + to - offset);
  return page;
}

/** Bytes that tell who wrote them: each sector begins with the number of the write and its place. */
export function stampedBytes(length: number, number: number): Buffer {
  const bytes = Buffer.alloc(length, (number * 37 + 11) & 0xff || 1);
  for (let at = 0; at + 12 <= length; at += 512) {
    bytes.writeUInt32LE(number, at);
    bytes.writeUInt32LE(at, at + 4);
    bytes.writeUInt32LE(0x6d617273, at + 8);
  }

  return bytes;
}
