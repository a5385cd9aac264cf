/**
 * One file of the simulated disk: what programs see (`cached`) and what the platters hold
 * (`stable`), and between them the history of every page since the last sync.
 *
 * Pages are immutable buffers that both sides share; a page that is absent reads as zeros and
 * takes no space, so a file of many TiB costs what was written to it.
 *
 * After power loss each 512-byte sector holds one of the versions that it had since the last
 * sync: its writes up to some point, never a later one without the earlier ones, because the page
 * cache writes pages, not calls. Which version is independent from sector to sector: that is how
 * writes are dropped, torn and reordered. A sector itself is never torn.
 */
import {assert} from '../../src/core/assert.js';
import {below, chance} from './random.js';
import type {Random} from './random.js';

export const PAGE_BYTES = 4096;
export const SECTOR_BYTES = 512;
const SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES;
const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);

type Pages = Map<number, Buffer>;

/** A change that no sync covers yet. */
interface Change {
  readonly kind: 'write' | 'zero' | 'free' | 'size';
  /** Order over the whole disk. */
  readonly sequence: number;
  /** First byte; for `size` the new size. */
  readonly position: number;
  readonly length: number;
  /** Only of a `write`. */
  readonly bytes: Buffer | undefined;
  /** What became of it in the crash that is under way. */
  fate: Fate;
}

type Fate = 'keep' | 'drop' | 'tear';

/** How one crash treats what no sync covered. */
export interface CrashPolicy {
  /** `ordered`: everything before `cut`, nothing after it. `random`: each change by itself. */
  readonly mode: 'all' | 'none' | 'ordered' | 'random';
  readonly cut: number;
  readonly keepProbability: number;
  readonly tearProbability: number;
}

export class SimInode {
  readonly id: number;
  readonly directory: boolean;
  #cached: Pages = new Map();
  #stable: Pages = new Map();
  #cachedSize = 0;
  #stableSize = 0;
  /** Changes of each page since its last sync, oldest first. */
  #history = new Map<number, Change[]>();
  #changes: Change[] = [];
  /** Pages whose next sync is a lie: nothing, or another page, is written. */
  #liars = new Map<number, number | undefined>();

  constructor(id: number, directory: boolean) {
    this.id = id;
    this.directory = directory;
  }

  get sizeBytes(): number {
    return this.#cachedSize;
  }

  /** Pages that take space, as `du` counts. */
  get pageCount(): number {
    return this.#cached.size;
  }

  get dirtyPageCount(): number {
    return this.#history.size;
  }

  dirtyPageNumbers(): Set<number> {
    return new Set(this.#history.keys());
  }

  /** Fills from the cache; @returns bytes before the end of the file */
  read(target: Buffer, offset: number, length: number, position: number): number {
    return readPages(this.#cached, this.#cachedSize, target, offset, length, position);
  }

  /** As `read`, but what power loss would leave if every unsynced write were dropped. */
  readStable(target: Buffer, offset: number, length: number, position: number): number {
    return readPages(this.#stable, this.#stableSize, target, offset, length, position);
  }

  /** @returns pages that a write would allocate */
  pagesNeeded(position: number, length: number): number {
    let needed = 0;
    for (const page of pagesOf(position, length)) if (!this.#cached.has(page)) needed += 1;
    return needed;
  }

  write(sequence: number, bytes: Buffer, position: number): void {
    if (bytes.byteLength === 0) return;
    const zero = isZero(bytes);
    const change: Change = {
      kind: zero ? 'zero' : 'write',
      sequence,
      position,
      length: bytes.byteLength,
      bytes: zero ? undefined : Buffer.from(bytes),
      fate: 'keep',
    };
    this.#changes.push(change);
    for (const page of pagesOf(position, change.length)) {
      this.#remember(page, change);
      this.#cached.set(page, changedPage(this.#cached.get(page), page, change, 0, PAGE_BYTES));
    }

    this.#cachedSize = Math.max(this.#cachedSize, position + change.length);
  }

  /** Frees whole pages and zeroes the rest; keeps the size. */
  punch(sequence: number, position: number, length: number): void {
    const end = Math.min(position + length, this.#cachedSize);
    if (end <= position) return;
    this.#drop({
      kind: 'free',
      sequence,
      position,
      length: end - position,
      bytes: undefined,
      fate: 'keep',
    });
  }

  truncate(sequence: number, sizeBytes: number): void {
    this.#drop({
      kind: 'size',
      sequence,
      position: sizeBytes,
      length: Math.max(0, this.#cachedSize - sizeBytes),
      bytes: undefined,
      fate: 'keep',
    });
    this.#cachedSize = sizeBytes;
  }

  sync(): void {
    for (const page of this.#history.keys()) {
      const target = this.#liars.has(page) ? this.#liars.get(page) : page;
      this.#liars.delete(page);
      if (target === undefined) continue;
      const bytes = this.#cached.get(page);
      if (bytes === undefined) this.#stable.delete(target);
      else this.#stable.set(target, bytes);
      // A misdirected write is seen by everybody who reads that place from the device.
      if (target !== page && bytes !== undefined && !this.#history.has(target)) {
        this.#cached.set(target, bytes);
      }
    }

    this.#stableSize = this.#cachedSize;
    this.#history.clear();
    this.#changes = [];
  }

  /**
   * A sync that says EIO, as Linux does it: some pages reached the device, the others did not,
   * all are clean now, readers still see the cache, and the next sync has nothing to do.
   */
  failSync(random: Random): void {
    const policy = {mode: 'random', cut: 0, keepProbability: 0.3, tearProbability: 0.1} as const;
    this.#settle(random, policy);
    this.#history.clear();
    this.#changes = [];
  }

  /** Memory pressure: clean pages leave the cache and are read from the device again. */
  evict(): void {
    for (const page of new Set([...this.#cached.keys(), ...this.#stable.keys()])) {
      if (this.#history.has(page)) continue;
      const stable = this.#stable.get(page);
      if (stable === undefined) this.#cached.delete(page);
      else this.#cached.set(page, stable);
    }
  }

  /** The sectors that the next sync of `page` should write go nowhere, or to page `target`. */
  lieAbout(page: number, target: number | undefined): void {
    this.#liars.set(page, target);
  }

  /** Flips one bit on the device, and in the cache as if the page had been read again. */
  rot(position: number, bit: number): void {
    for (const pages of new Set([this.#stable, this.#cached])) {
      const page = Math.floor(position / PAGE_BYTES);
      const copy = Buffer.from(pages.get(page) ?? ZERO_PAGE);
      copy[position % PAGE_BYTES] = (copy[position % PAGE_BYTES] ?? 0) ^ (1 << bit);
      pages.set(page, copy);
    }
  }

  /** Power loss: afterwards cache and device are the same, and nothing is pending. */
  crash(random: Random, policy: CrashPolicy): void {
    this.#settle(random, policy);
    this.#history.clear();
    this.#changes = [];
    this.#liars.clear();
    this.#cached = new Map(this.#stable);
    this.#cachedSize = this.#stableSize;
  }

  #remember(page: number, change: Change): void {
    const changes = this.#history.get(page);
    if (changes === undefined) this.#history.set(page, [change]);
    else changes.push(change);
  }

  #drop(change: Change): void {
    this.#changes.push(change);
    const first = Math.floor(change.position / PAGE_BYTES);
    const last = Math.ceil((change.position + change.length) / PAGE_BYTES);
    for (const page of this.#touchedBetween(first, last)) {
      this.#remember(page, change);
      const start = page * PAGE_BYTES;
      const whole =
        change.position <= start && start + PAGE_BYTES <= change.position + change.length;
      if (whole) this.#cached.delete(page);
      else if (this.#cached.has(page)) {
        this.#cached.set(page, changedPage(this.#cached.get(page), page, change, 0, PAGE_BYTES));
      }
    }
  }

  /** Pages of [first, last) that hold or held anything: a discard may span many TiB of nothing. */
  #touchedBetween(first: number, last: number): Iterable<number> {
    const pages = new Set<number>();
    const known = this.#cached.size + this.#stable.size + this.#history.size;
    const touched = (page: number): boolean =>
      this.#cached.has(page) || this.#stable.has(page) || this.#history.has(page);
    if (last - first <= known) {
      for (let page = first; page < last; page += 1) if (touched(page)) pages.add(page);
      return pages;
    }

    for (const source of [this.#cached, this.#stable, this.#history]) {
      for (const page of source.keys()) if (page >= first && page < last) pages.add(page);
    }

    return pages;
  }

  /** Decides the fate of every pending change and brings the device to what is left. */
  #settle(random: Random, policy: CrashPolicy): void {
    for (const change of this.#changes) change.fate = fateOf(change, random, policy);
    for (const change of this.#changes) {
      const end = change.position + change.length;
      if (change.fate === 'drop' || change.kind === 'free') continue;
      if (change.kind === 'size') this.#stableSize = change.position;
      else if (change.fate === 'keep') this.#stableSize = Math.max(this.#stableSize, end);
      else {
        const sectors = Math.ceil(change.length / SECTOR_BYTES);
        const torn = Math.min(end, change.position + below(random, sectors + 1) * SECTOR_BYTES);
        this.#stableSize = Math.max(this.#stableSize, torn);
      }
    }

    for (const [page, changes] of this.#history) {
      const settled = settlePage(this.#stable.get(page), page, changes, random);
      if (settled === undefined) this.#stable.delete(page);
      else this.#stable.set(page, settled);
    }

    const pagesLeft = Math.ceil(this.#stableSize / PAGE_BYTES);
    for (const page of [...this.#stable.keys()]) if (page >= pagesLeft) this.#stable.delete(page);
    // Bytes behind the end of the file are never seen again, not even when it grows.
    const tail = this.#stable.get(pagesLeft - 1);
    const used = this.#stableSize % PAGE_BYTES;
    if (tail !== undefined && used > 0) {
      this.#stable.set(pagesLeft - 1, Buffer.concat([tail.subarray(0, used)], PAGE_BYTES));
    }
  }
}

function fateOf(change: Change, random: Random, policy: CrashPolicy): Fate {
  if (policy.mode === 'all') return 'keep';
  if (policy.mode === 'none') return 'drop';
  const canTear = change.kind !== 'size';
  if (policy.mode === 'ordered') {
    if (change.sequence === policy.cut && canTear) return 'tear';
    return change.sequence < policy.cut ? 'keep' : 'drop';
  }

  if (canTear && chance(random, policy.tearProbability)) return 'tear';
  return chance(random, policy.keepProbability) ? 'keep' : 'drop';
}

/** The page after the crash, sector by sector: everything up to the newest change that was kept. */
function settlePage(
  stable: Buffer | undefined,
  page: number,
  changes: readonly Change[],
  random: Random,
): Buffer | undefined {
  if (changes.every((change) => change.fate === 'drop')) return stable;
  const result = Buffer.from(stable ?? ZERO_PAGE);
  let isChanged = false;
  for (let sector = 0; sector < SECTORS_PER_PAGE; sector += 1) {
    const start = sector * SECTOR_BYTES;
    let kept = changes.length;
    while (kept > 0 && !survives(changes[kept - 1], page * PAGE_BYTES + start, random)) kept -= 1;
    for (let at = 0; at < kept; at += 1) {
      const change = changes[at];
      if (change === undefined) continue;
      isChanged = true;
      applyChange(result, page, change, start, start + SECTOR_BYTES);
    }
  }

  if (!isChanged) return stable;
  const newest = changes.at(-1);
  const freed = newest?.kind === 'free' || newest?.kind === 'size';
  return freed && isZero(result) ? undefined : result;
}

function survives(change: Change | undefined, start: number, random: Random): boolean {
  assert(change !== undefined, 'a sector that is settled has changes');
  // A change of another sector of the page says nothing about this one.
  const touches = change.position < start + SECTOR_BYTES && start < change.position + change.length;
  if (!touches || change.fate === 'drop') return false;
  return change.fate === 'keep' || chance(random, 0.5);
}

/** A copy of the page with that part of the change that lies in [from, to) of the page. */
function changedPage(
  old: Buffer | undefined,
  page: number,
  change: Change,
  from: number,
  to: number,
): Buffer {
  const base = page * PAGE_BYTES;
  const start = Math.max(from, change.position - base);
  const end = Math.min(to, change.position + change.length - base);
  if (start >= end) return old ?? ZERO_PAGE;
  const isWhole = start === 0 && end === PAGE_BYTES;
  if (change.bytes === undefined && isWhole) return ZERO_PAGE;
  // Bytes of a change never change: a page may be a part of them.
  if (change.bytes !== undefined && isWhole) {
    return change.bytes.subarray(base - change.position, base - change.position + PAGE_BYTES);
  }

  const copy = Buffer.from(old ?? ZERO_PAGE);
  applyChange(copy, page, change, from, to);
  return copy;
}

/** The same in place. */
function applyChange(target: Buffer, page: number, change: Change, from: number, to: number): void {
  const base = page * PAGE_BYTES;
  const start = Math.max(from, change.position - base);
  const end = Math.min(to, change.position + change.length - base);
  if (start >= end) return;
  if (change.bytes === undefined) target.fill(0, start, end);
  else
    change.bytes.copy(target, start, base + start - change.position, base + end - change.position);
}

function readPages(
  pages: Pages,
  sizeBytes: number,
  target: Buffer,
  offset: number,
  length: number,
  position: number,
): number {
  const end = Math.min(position + length, sizeBytes);
  for (let at = position; at < end;) {
    const within = at % PAGE_BYTES;
    const count = Math.min(PAGE_BYTES - within, end - at);
    const page = pages.get(Math.floor(at / PAGE_BYTES));
    const to = offset + at - position;
    if (page === undefined) target.fill(0, to, to + count);
    else page.copy(target, to, within, within + count);
    at += count;
  }

  return Math.max(0, end - position);
}

function* pagesOf(position: number, length: number): Generator<number> {
  const end = Math.ceil((position + length) / PAGE_BYTES);
  for (let page = Math.floor(position / PAGE_BYTES); page < end; page += 1) yield page;
}

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.byteLength; at += PAGE_BYTES) {
    const count = Math.min(PAGE_BYTES, bytes.byteLength - at);
    if (bytes.compare(ZERO_PAGE, 0, count, at, at + count) !== 0) return false;
  }

  return true;
}
