/**
 * The file `bypass`: where the image was written past the log (docs/decisions/0012-bypass.md).
 *
 *   0      two slots (core/two-slot): the state
 *   8192   pages of 4 KiB: crc u32 of the rest, then one bit for each MiB of the disk
 *
 * It is made when it is wished for, so that it needs no space later. Bits are durable before the first
 * byte of their region is written. A page whose CRC is wrong, torn or rotten, means all its regions:
 * too much is compared then, never too little.
 */
import {createHash} from 'node:crypto';
import {crc32} from 'node:zlib';
import {assert} from '../core/assert.js';
import {DiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {ResourcePaths} from '../core/home.js';
import {isObject} from '../core/json-file.js';
import {TwoSlotFile} from '../core/two-slot.js';
import {MIB} from '../core/units.js';

/** What one bit stands for. */
export const REGION_BYTES = MIB;
/** Bits that are set together, so that writes one behind the other do not sync for each MiB. */
const REGIONS_AT_ONCE = 8;

const PAGES_OFFSET = 8192;
const PAGE_BYTES = 4096;
const CRC_BYTES = 4;
const REGIONS_PER_PAGE = (PAGE_BYTES - CRC_BYTES) * 8;

/** A time in which the image was written past the log. */
export interface BypassPeriod {
  /** The epoch that ended with it; names the map in the GAP record, as an epoch is left by it. */
  readonly epoch: string;
  /** Where the log was sealed: its end, and all of it is in the image. */
  readonly position: number;
  readonly sinceMs: number;
  /** A sync of the image may have failed: what is read of it may be in the page cache, clean, and nowhere else. */
  readonly isSuspect?: boolean;
}

/** `open`: the log holds everything. `bypassed`: it does not, and a GAP has to follow first. */
export interface BypassState {
  readonly schema: 1;
  readonly state: 'open' | 'bypassed';
  /** While `bypassed`. */
  readonly period: BypassPeriod | null;
  /** End of the newest GAP: log before it does not lead to this image; 0: there was none. */
  readonly gapEnd: number;
}

type MapPaths = Pick<ResourcePaths, 'bypassFile' | 'directory'>;

/** Bytes of the file for a disk of this size. */
export function bypassFileBytes(diskSizeBytes: number): number {
  return PAGES_OFFSET + pageCount(diskSizeBytes) * PAGE_BYTES;
}

function pageCount(diskSizeBytes: number): number {
  return Math.max(1, Math.ceil(diskSizeBytes / REGION_BYTES / REGIONS_PER_PAGE));
}

/** Sets the checksum of a page. */
export function sealPage(page: Buffer): void {
  page.writeUInt32LE(crc32(page.subarray(CRC_BYTES)), 0);
}

/** @returns the bits of a page; all of them where it cannot be believed */
export function bitsOfPage(page: Buffer): Buffer {
  if (page.length === PAGE_BYTES && page.readUInt32LE(0) === crc32(page.subarray(CRC_BYTES))) {
    return page.subarray(CRC_BYTES);
  }

  return Buffer.alloc(PAGE_BYTES - CRC_BYTES, 0xff);
}

/**
 * Makes the file, with all its space, for a disk of this size; one that is there is replaced, so it
 * must not be `bypassed`.
 *
 * @throws the error of the file system; then there is none, or the one that was there
 */
export function makeBypassFile(
  files: Files,
  {bypassFile, directory}: MapPaths,
  diskSizeBytes: number,
): void {
  const before = peekBypass(files, {bypassFile});
  assert(before?.state !== 'bypassed', 'a map that is needed is not replaced');
  const temporary = `${bypassFile}.new`;
  if (files.exists(temporary)) files.unlink(temporary);
  const state: BypassState = {
    ...{schema: 1, state: 'open', period: null},
    gapEnd: before?.gapEnd ?? 0,
  };
  let done = false;
  try {
    TwoSlotFile.create(files, temporary, state).close();
    const fd = files.open(temporary, 'write');
    try {
      const page = Buffer.alloc(PAGE_BYTES);
      sealPage(page);
      for (let index = 0; index < pageCount(diskSizeBytes); index += 1) {
        files.write(fd, page, 0, PAGE_BYTES, PAGES_OFFSET + index * PAGE_BYTES);
      }

      files.sync(fd);
    } finally {
      files.close(fd);
    }

    files.rename(temporary, bypassFile);
    done = true;
  } finally {
    if (!done && files.exists(temporary)) files.unlink(temporary);
  }

  files.syncDirectory(directory);
}

/**
 * Reads the state without opening the file for writing.
 *
 * @returns undefined where there is no file: nothing was ever written past the log
 * @throws DiskError STATE_UNREADABLE
 */
export function peekBypass(
  files: Files,
  {bypassFile}: Pick<ResourcePaths, 'bypassFile'>,
): BypassState | undefined {
  if (!files.exists(bypassFile)) return undefined;
  const value = TwoSlotFile.peek(files, bypassFile);
  if (!isBypassState(value)) throw unreadable(bypassFile);
  return value;
}

function unreadable(file: string): DiskError {
  const text = `${file} is not the map of a bypass: nobody knows whether the log holds the disk`;
  return new DiskError('STATE_UNREADABLE', text, {file});
}

/** Whether a value that was read is one. */
export function isBypassState(value: unknown): value is BypassState {
  if (!isObject(value) || value['schema'] !== 1) return false;
  const {state, period, gapEnd} = value;
  if (!Number.isSafeInteger(gapEnd)) return false;
  if (state === 'open') return period === null;
  if (state !== 'bypassed' || !isObject(period)) return false;
  const {position, epoch, sinceMs, isSuspect} = period;
  if (isSuspect !== undefined && typeof isSuspect !== 'boolean') return false;
  const isNamed = typeof epoch === 'string' && /^[0-9a-f]{32}$/u.test(epoch);
  return isNamed && Number.isSafeInteger(position) && Number.isSafeInteger(sinceMs);
}

/** The map of one resource, open for writing; one writer. */
export class BypassMap {
  readonly #files: Files;
  readonly #slots: TwoSlotFile;
  readonly #fd: number;
  readonly #pages: Buffer[] = [];
  #state: BypassState;
  #regionCount = 0;

  private constructor(files: Files, slots: TwoSlotFile, fd: number, state: BypassState) {
    this.#files = files;
    this.#slots = slots;
    this.#fd = fd;
    this.#state = state;
    const count = Math.floor((files.sizeOf(fd) - PAGES_OFFSET) / PAGE_BYTES);
    for (let index = 0; index < count; index += 1) {
      const page = Buffer.alloc(PAGE_BYTES);
      const got = files.read(fd, page, 0, PAGE_BYTES, PAGES_OFFSET + index * PAGE_BYTES);
      bitsOfPage(page.subarray(0, got)).copy(page, CRC_BYTES);
      this.#pages.push(page);
    }

    this.#count();
  }

  /** @throws DiskError STATE_UNREADABLE, or the error of the file system */
  static open(files: Files, {bypassFile}: Pick<ResourcePaths, 'bypassFile'>): BypassMap {
    const {file, value} = TwoSlotFile.open(files, bypassFile);
    if (!isBypassState(value)) {
      file.close();
      throw unreadable(bypassFile);
    }

    return new BypassMap(files, file, files.open(bypassFile, 'write'), value);
  }

  get state(): BypassState {
    return this.#state;
  }

  /** Regions that are marked. */
  get regionCount(): number {
    return this.#regionCount;
  }

  covers(diskSizeBytes: number): boolean {
    return this.#pages.length >= pageCount(diskSizeBytes);
  }

  /** From now on the image may be written where it is marked; durable when it returns. */
  enter(period: BypassPeriod): void {
    assert(this.#state.state === 'open', 'a bypass is entered once');
    for (const page of this.#pages) page.fill(0);
    this.#regionCount = 0;
    this.rewrite();
    this.#write({...this.#state, state: 'bypassed', period});
  }

  /** Notes durably, before or behind a sync of the image, that nobody knows whether it went well. */
  suspect(): void {
    const {period} = this.#state;
    if (period === null || period.isSuspect === true) return;
    this.#write({...this.#state, period: {...period, isSuspect: true}});
  }

  /** Numbers of the regions that are marked, ascending. */
  *markedRegions(): Generator<number, void> {
    for (let region = 0; region < this.#pages.length * REGIONS_PER_PAGE; region += 1) {
      if (this.#isMarked(region, region + 1)) yield region;
    }
  }

  /** The GAP is durable, up to this position: the log holds everything that comes. */
  leave(gapEnd: number): void {
    this.#write({...this.#state, state: 'open', period: null, gapEnd});
  }

  /**
   * The image may be written in [offset, offset + length) when this returns.
   *
   * @throws the error of the file system; the bits are then asked for again by the next try
   */
  mark(offset: number, length: number): void {
    const first = Math.floor(offset / REGION_BYTES);
    const end = Math.ceil((offset + length) / REGION_BYTES);
    if (this.#isMarked(first, end)) return;
    const groupFirst = Math.floor(first / REGIONS_AT_ONCE);
    const groupEnd = Math.ceil(end / REGIONS_AT_ONCE);
    const groupsPerPage = REGIONS_PER_PAGE / REGIONS_AT_ONCE;
    const changed = new Map<number, Buffer>();
    for (let group = groupFirst; group < groupEnd;) {
      const index = Math.floor(group / groupsPerPage);
      const old = this.#pages[index];
      assert(old !== undefined, 'the map covers the disk');
      const page = Buffer.from(old);
      const within = group - index * groupsPerPage;
      const count = Math.min(groupEnd - group, groupsPerPage - within);
      page.fill(0xff, CRC_BYTES + within, CRC_BYTES + within + count);
      sealPage(page);
      changed.set(index, page);
      group += count;
    }

    for (const [index, page] of changed) this.#writePage(index, page);
    this.#files.syncData(this.#fd);
    // Only now: bits that a failed sync has left in the page cache are no promise.
    for (const [index, page] of changed) this.#pages[index] = page;
    this.#count();
  }

  /** Writes all pages again and syncs them: what was read may have been in the page cache only. */
  rewrite(): void {
    for (const [index, page] of this.#pages.entries()) {
      sealPage(page);
      this.#writePage(index, page);
    }

    this.#files.syncData(this.#fd);
  }

  /** SHA-256 of the bits, one region behind the other, without the checksums. */
  digest(): Buffer {
    const hash = createHash('sha256');
    for (const page of this.#pages) hash.update(page.subarray(CRC_BYTES));
    return hash.digest();
  }

  close(): void {
    this.#slots.close();
    this.#files.close(this.#fd);
  }

  #write(state: BypassState): void {
    this.#slots.write(state);
    this.#state = state;
  }

  #writePage(index: number, page: Buffer): void {
    this.#files.write(this.#fd, page, 0, PAGE_BYTES, PAGES_OFFSET + index * PAGE_BYTES);
  }

  #isMarked(first: number, end: number): boolean {
    for (let region = first; region < end; region += 1) {
      const within = region % REGIONS_PER_PAGE;
      const byte = this.#pages[Math.floor(region / REGIONS_PER_PAGE)]?.[CRC_BYTES + (within >> 3)];
      if (((byte ?? 0) & (1 << (within & 7))) === 0) return false;
    }

    return true;
  }

  #count(): void {
    let count = 0;
    for (const page of this.#pages) {
      for (let at = CRC_BYTES; at < PAGE_BYTES; at += 1) {
        for (let byte = page[at] ?? 0; byte > 0; byte >>= 1) count += byte & 1;
      }
    }

    this.#regionCount = count;
  }
}
