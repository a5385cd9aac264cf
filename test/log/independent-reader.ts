/**
 * A reader of mars' logs that was written from docs/LOG_FORMAT.md alone. It imports nothing of mars, on
 * purpose: where it and mars disagree, the document or mars is wrong.
 */
import {createHash} from 'node:crypto';
import {crc32} from 'node:zlib';

export interface FoundRecord {
  readonly position: number;
  readonly type: number;
  readonly disk: number;
  readonly length: number;
  readonly stored: number;
  readonly durable: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly chain: string;
  readonly payload: Buffer;
  readonly end: number;
}

export interface FoundSegment {
  readonly name: string;
  readonly bytes: Buffer;
  readonly number: number;
  readonly start: number;
  readonly chain: string;
  readonly durable: number;
  readonly epoch: string;
  readonly capacity: number;
  readonly disk: number;
}

export interface FoundLog {
  readonly verdict: 'end' | 'damaged' | 'refused';
  readonly position: number;
  readonly chain: string;
  readonly disk: number;
  readonly segments: readonly number[];
  readonly records: readonly FoundRecord[];
}

const u64 = (bytes: Buffer, at: number): number => Number(bytes.readBigUInt64LE(at));
const word = (value: number): string => value.toString(16).padStart(8, '0');
const chainAt = (bytes: Buffer, at: number): string =>
  word(bytes.readUInt32LE(at + 4)) + word(bytes.readUInt32LE(at));

function chainAfter(header: Buffer): string {
  let mix = 0x9747b28cn;
  for (let at = 0; at < 32; at += 1) {
    mix = ((mix ^ BigInt(header.readUInt32LE(4 * at))) * 0x5bd1e995n) % 2n ** 32n;
    mix ^= mix >> 15n;
  }

  return word(Number(mix)) + word(header.readUInt32LE(124));
}

/** @returns 'refuse' for a log that only a newer version may read, undefined for no segment */
export function readHeader(name: string, bytes: Buffer): FoundSegment | 'refuse' | undefined {
  if (bytes.length < 1024 || bytes.toString('latin1', 0, 8) !== 'MARSLOG\0') return undefined;
  if (bytes.readUInt32LE(1020) !== crc32(bytes.subarray(0, 1020))) return undefined;
  if (bytes.readUInt16LE(8) > 1 || u64(bytes, 32) !== 0) return 'refuse';
  return {
    name,
    bytes,
    number: u64(bytes, 88),
    start: u64(bytes, 96),
    chain: chainAt(bytes, 104),
    durable: u64(bytes, 112),
    epoch: bytes.toString('hex', 72, 88),
    capacity: u64(bytes, 208),
    disk: u64(bytes, 128),
  };
}

/** Rule 1: a header that is right by itself. */
function isHeader(bytes: Buffer, at: number): boolean {
  if (at + 128 > bytes.length || bytes.toString('latin1', at, at + 4) !== 'MREC') return false;
  if (bytes.readUInt16LE(at + 6) !== 128) return false;
  if (bytes.readUInt32LE(at + 124) !== crc32(bytes.subarray(at, at + 124))) return false;
  const stored = bytes.readUInt32LE(at + 16);
  return stored % 8 === 0 && stored <= 1_056_768;
}

/** Rule 2: it lies where it says, in the epoch of its segment. */
function belongs(segment: FoundSegment, at: number): boolean {
  const epoch = Buffer.from(segment.epoch.slice(16), 'hex').reverse();
  if (u64(segment.bytes, at + 40) !== segment.start + at - 4096) return false;
  return segment.bytes.subarray(at + 48, at + 56).equals(epoch);
}

/** Records of one segment up to `limit`, from `position` with `chain`. */
export function readRecords(segment: FoundSegment, limit = Infinity): FoundRecord[] {
  const {bytes, start, capacity} = segment;
  const records: FoundRecord[] = [];
  let {chain} = segment;
  let position = start;
  for (;;) {
    const at = 4096 + position - start;
    if (!isHeader(bytes, at) || !belongs(segment, at) || chainAt(bytes, at + 104) !== chain) break;
    const stored = bytes.readUInt32LE(at + 16);
    const end = position + 128 + stored;
    if (end > Math.min(start + capacity, limit) || at + 128 + stored > bytes.length) break;
    const payload = bytes.subarray(at + 128, at + 128 + stored);
    if (crc32(payload) !== bytes.readUInt32LE(at + 20)) break;
    records.push({
      position,
      type: bytes.readUInt16LE(at + 4),
      disk: u64(bytes, at + 32),
      length: u64(bytes, at + 24),
      stored,
      durable: u64(bytes, at + 56),
      time: Math.round(u64(bytes, at + 64) / 1e6),
      chain,
      payload,
      end,
    });
    chain = chainAfter(bytes.subarray(at, at + 128));
    position = end;
  }

  return records;
}

/** Highest `durable` of what lies at and behind file offset `from`. */
function testimony(bytes: Buffer, from: number, accept: (at: number) => boolean): number {
  let highest = 0;
  for (let at = from; at + 128 <= bytes.length; at += 8) {
    if (isHeader(bytes, at) && accept(at)) highest = Math.max(highest, u64(bytes, at + 56));
  }

  return highest;
}

const REFUSED: FoundLog = {
  verdict: 'refused',
  position: 0,
  chain: '',
  disk: 0,
  segments: [],
  records: [],
};

/** Reads a whole log directory, given as name and content of its files. */
export function readLog(
  files: ReadonlyMap<string, Buffer>,
  resource: string,
  replay: {readonly from: number; readonly to: number; readonly durable?: number},
): FoundLog {
  const segments: FoundSegment[] = [];
  const unreadable: Buffer[] = [];
  for (const [name, bytes] of files) {
    if (!/^log-\d{9,}-/u.test(name) || /\.(idx|tmp)$/u.test(name)) continue;
    const header = readHeader(name, bytes);
    if (header === 'refuse') return REFUSED;
    if (header === undefined) unreadable.push(bytes);
    else if (bytes.readUInt32LE(232) === 1 && bytes.toString('hex', 40, 56) === resource) {
      segments.push(header);
    }
  }

  segments.sort((a, b) => a.number - b.number);
  const counting = segments.filter(({start}, at) =>
    segments.slice(at + 1).every((later) => start < later.start),
  );
  const first = counting.findLastIndex(({start}) => start <= replay.from);
  if (first < 0 && (counting.length > 0 || replay.to > 0)) return {...REFUSED, verdict: 'damaged'};
  return walk(counting.slice(Math.max(0, first)), unreadable, replay);
}

function walk(
  segments: readonly FoundSegment[],
  unreadable: readonly Buffer[],
  replay: {readonly to: number; readonly durable?: number},
): FoundLog {
  let position = segments[0]?.start ?? 0;
  let chain = segments[0]?.chain ?? '0'.repeat(16);
  let disk = segments[0]?.disk ?? 0;
  const records: FoundRecord[] = [];
  const used: FoundSegment[] = [];
  for (const [at, segment] of segments.entries()) {
    if (segment.start !== position || segment.chain !== chain) break;
    used.push(segment);
    for (const record of readRecords(segment, segments[at + 1]?.start)) {
      records.push(record);
      position = record.end;
      const offset = 4096 + record.position - segment.start;
      chain = chainAfter(segment.bytes.subarray(offset, offset + 128));
      if (record.type === 4) disk = record.disk;
    }
  }

  const last = used.at(-1);
  const proofs = [
    replay.to,
    replay.durable ?? 0,
    last?.durable ?? 0,
    ...records.map(({durable}) => durable),
  ];
  for (const segment of last === undefined ? [] : [last, ...segments.slice(used.length)]) {
    const from = segment === last ? 4096 + position - segment.start : 4096;
    proofs.push(segment.durable);
    proofs.push(testimony(segment.bytes, from, (at) => belongs(segment, at)));
  }

  for (const bytes of unreadable) proofs.push(testimony(bytes, 4096, () => true));
  const verdict = position >= Math.max(...proofs) ? 'end' : 'damaged';
  return {verdict, position, chain, disk, segments: used.map(({number}) => number), records};
}

/** The binding in a header, checked against the segment that it names. */
export function isBound(next: Buffer, sealed: Buffer): boolean {
  if (next.toString('latin1', 1024, 1028) !== 'BIND') return false;
  if (next.readUInt32LE(1084) !== crc32(next.subarray(1024, 1084))) return false;
  const records = sealed.subarray(4096, 4096 + u64(next, 1040));
  const digest = createHash('sha256').update(records).digest();
  return u64(next, 1032) === u64(sealed, 88) && digest.equals(next.subarray(1048, 1080));
}

export interface FoundIndex {
  readonly end: number;
  readonly chain: string;
  readonly disk: number;
  /** Block -> position of its newest copy. */
  readonly blocks: ReadonlyMap<number, number>;
  /** First block, block behind the last, position. */
  readonly extents: readonly (readonly [number, number, number])[];
}

export function readIndex(bytes: Buffer): FoundIndex | undefined {
  if (bytes.length < 96 || bytes.toString('latin1', 0, 8) !== 'MARSIDX\0') return undefined;
  if (bytes.readUInt32LE(8) !== 1) return undefined;
  if (bytes.readUInt32LE(12) !== crc32(bytes.subarray(16))) return undefined;
  const start = u64(bytes, 40);
  const count = bytes.readUInt32LE(88);
  const blocks = new Map<number, number>();
  for (let at = 96; at < 96 + 8 * count; at += 8) {
    blocks.set(bytes.readUInt32LE(at), start + 8 * bytes.readUInt32LE(at + 4));
  }

  const extents: [number, number, number][] = [];
  for (let at = 96 + 8 * count; at < bytes.length; at += 24) {
    extents.push([u64(bytes, at), u64(bytes, at + 8), u64(bytes, at + 16)]);
  }

  return {end: u64(bytes, 48), chain: chainAt(bytes, 56), disk: u64(bytes, 64), blocks, extents};
}

/**
 * The position in the file `durable`; 0 where it does not count.
 *
 * @param lineage epochs in order, with their starts
 */
export function readDurable(
  bytes: Buffer,
  lineage: readonly {readonly epoch: string; readonly start: number}[],
): number {
  if (bytes.length < 64 || bytes.toString('latin1', 0, 4) !== 'MDUR') return 0;
  if (bytes.readUInt32LE(4) !== crc32(bytes.subarray(8, 64))) return 0;
  const position = u64(bytes, 8);
  const at = lineage.findIndex(({epoch}) => epoch === bytes.toString('hex', 16, 32));
  if (at < 0 || lineage.slice(at + 1).some(({start}) => start < position)) return 0;
  return position;
}

/** The newest valid slot of a two-slot file. */
export function readTwoSlots(bytes: Buffer): unknown {
  let newest = -1;
  let value: unknown;
  for (const at of [0, 4096]) {
    const slot = bytes.subarray(at, at + 4096);
    if (slot.toString('latin1', 0, 4) !== 'MSLT') continue;
    if (slot.readUInt32LE(4) !== crc32(slot.subarray(8)) || u64(slot, 8) < newest) continue;
    newest = u64(slot, 8);
    value = JSON.parse(slot.toString('utf8', 20, 20 + slot.readUInt32LE(16)));
  }

  return value;
}
