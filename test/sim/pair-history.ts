/**
 * What was ever written, by whom: each epoch with the records that its origin has appended, taken
 * from the origin's own log. Of one epoch nobody else writes, and its origin writes each position
 * once; so the contents of a log or an image follow from its lineage and a position.
 */
import {formatPosition, parsePosition} from '../../src/core/position.js';
import type {LineageEntry} from '../../src/log/lineage.js';
import {formatChain, RECORD, type Chain} from '../../src/log/record.js';
import {SimFailure} from './oracle.js';

/** One record, as it must be wherever it is. */
export interface KnownRecord {
  readonly position: number;
  readonly end: number;
  readonly crc: number;
  readonly kind: 'write' | 'zero' | 'other';
  readonly offset: number;
  readonly length: number;
  readonly payload: Buffer | undefined;
  /** Chain value behind it. */
  readonly chain: Chain;
}

interface Epoch {
  readonly node: string;
  readonly start: number;
  readonly records: KnownRecord[];
  /** Its origin, or somebody whose own epoch goes on from there, has this much on stable storage. */
  durable: number;
}

/** A piece of a history: what of an epoch belongs to it. */
export interface PathPiece {
  readonly epoch: string;
  readonly node: string;
  readonly start: number;
  readonly end: number;
}

/** A flush was answered: everything up to there must stay. */
interface Flushed {
  readonly epoch: string;
  position: number;
}

/** The path of a log with this lineage that ends at `position`; epochs without records left out. */
export function pathOf(lineage: readonly LineageEntry[], position: number): PathPiece[] {
  const pieces: PathPiece[] = [];
  for (const [at, {epoch, node, start}] of lineage.entries()) {
    const next = lineage[at + 1]?.start;
    const end = Math.min(position, next === undefined ? position : numberOf(next));
    if (numberOf(start) < end) pieces.push({epoch, node, start: numberOf(start), end});
  }

  return pieces;
}

/** Up to where two paths are the same. */
export function commonEnd(ours: readonly PathPiece[], theirs: readonly PathPiece[]): number {
  let common = 0;
  for (const [at, piece] of ours.entries()) {
    const other = theirs[at];
    if (other?.epoch !== piece.epoch) break;
    common = Math.min(piece.end, other.end);
    if (piece.end !== other.end) break;
  }

  return common;
}

/** Truth about the log of one resource on all nodes. */
export class History {
  readonly #epochs = new Map<string, Epoch>();
  #promises: Flushed[] = [];
  /** Began by force: what was flushed to others is not theirs. That was announced. */
  readonly #forced = new Set<string>();

  /** Begins to know an epoch; the chain up to there is durable. */
  begin(lineage: readonly LineageEntry[]): void {
    const own = lineage.at(-1);
    if (own === undefined || this.#epochs.has(own.epoch)) return;
    const start = numberOf(own.start);
    this.#epochs.set(own.epoch, {node: own.node, start, records: [], durable: start});
    for (const {epoch, end} of pathOf(lineage, start)) this.noteDurable(epoch, end);
  }

  knows(epoch: string): boolean {
    return this.#epochs.has(epoch);
  }

  endOf(epoch: string): number {
    const {records, start} = this.#epoch(epoch);
    return records.at(-1)?.end ?? start;
  }

  noteDurable(epoch: string, position: number): void {
    const known = this.#epoch(epoch);
    known.durable = Math.max(known.durable, position);
  }

  durableOf(epoch: string): number {
    return this.#epoch(epoch).durable;
  }

  /** The record that begins at `position`. */
  at(epoch: string, position: number): KnownRecord | undefined {
    const {records} = this.#epoch(epoch);
    let [low, high] = [0, records.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const record = records[middle];
      if (record === undefined || record.position === position) return record;
      if (record.position < position) low = middle + 1;
      else high = middle - 1;
    }

    return undefined;
  }

  /** A record that `node` holds: known already and the same, or a new one of its own. */
  meet(epoch: string, node: string, record: KnownRecord): void {
    const known = this.at(epoch, record.position);
    const where = `at ${formatPosition(record.position)} of epoch ${epoch.slice(0, 8)}`;
    if (known !== undefined) {
      if (known.crc === record.crc && known.end === record.end) return;
      throw new SimFailure(`two records ${where}, one of them on ${node.slice(0, 1)}`);
    }

    const owner = this.#epoch(epoch);
    if (owner.node !== node) {
      throw new SimFailure(`${node.slice(0, 1)} has a record ${where} that its origin never had`);
    }

    const end = this.endOf(epoch);
    if (end !== record.position) throw new SimFailure(`a hole in front of the record ${where}`);
    owner.records.push(record);
  }

  /** Applies what a path has in (from, to] to an image. */
  apply(image: Buffer, path: readonly PathPiece[], from: number, to: number): void {
    for (const {epoch, start, end} of path) {
      if (end <= from || start >= to) continue;
      for (const record of this.#epoch(epoch).records) {
        if (record.position < from || record.position < start) continue;
        if (record.end > Math.min(end, to)) break;
        const {kind, offset, length, payload} = record;
        if (kind === 'write') payload?.copy(image, offset);
        else if (kind === 'zero') image.fill(0, offset, offset + length);
      }
    }
  }

  /** Chain value at the end of a path. */
  chainAt(path: readonly PathPiece[]): string {
    const last = path.at(-1);
    const record = last && this.#epoch(last.epoch).records.findLast(({end}) => end <= last.end);
    return formatChain(record?.chain ?? {low: 0, high: 0});
  }

  promise(epoch: string, position: number): void {
    const known = this.#promises.find((promise) => promise.epoch === epoch);
    if (known === undefined) this.#promises.push({epoch, position});
    else known.position = Math.max(known.position, position);
  }

  /** Highest position that was flushed in an epoch. */
  promised(epoch: string): number {
    return this.#promises.find((promise) => promise.epoch === epoch)?.position ?? 0;
  }

  /** A log with this lineage begins to serve: by force it may lack what was promised. */
  judgePromises(lineage: readonly LineageEntry[], position: number, byForce: boolean): number {
    let lost = 0;
    for (const {epoch, start} of lineage) {
      if (byForce && numberOf(start) === position) this.#forced.add(epoch);
    }

    for (const {epoch, position: promised} of this.#promises) {
      const at = lineage.findIndex((entry) => entry.epoch === epoch);
      const next = lineage[at + 1];
      if (at < 0) continue;
      const end = Math.min(position, next === undefined ? position : numberOf(next.start));
      if (promised <= end || (!byForce && this.#forced.has(next?.epoch ?? ''))) continue;
      if (!byForce) {
        throw new SimFailure(
          `flushed to ${formatPosition(promised)}, but served from ${formatPosition(end)} on`,
        );
      }

      lost += promised - end;
    }

    return lost;
  }

  #epoch(epoch: string): Epoch {
    const known = this.#epochs.get(epoch);
    if (known === undefined) throw new SimFailure(`nobody has begun the epoch ${epoch}`);
    return known;
  }
}

export function kindOf(type: number): KnownRecord['kind'] {
  if (type === RECORD.write) return 'write';
  return type === RECORD.discard || type === RECORD.zero ? 'zero' : 'other';
}

export function numberOf(position: string): number {
  const value = parsePosition(position);
  if (value === undefined) throw new SimFailure(`"${position}" is no position`);
  return value;
}
