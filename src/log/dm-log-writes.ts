/**
 * A stretch of log in the format of the kernel's dm-log-writes target (drivers/md/dm-log-writes.c,
 * Documentation/admin-guide/device-mapper/log-writes.rst), which xfstests' `replay-log` reads: for people
 * who have tools for it. All fields are little-endian; S is `sectorsize`, here 512.
 *
 *   super, at 0, S bytes:        magic u64, version u64, nr_entries u64, sectorsize u32, zeros
 *   entry, S bytes:              sector u64, nr_sectors u64, flags u64, data_len u64, zeros
 *     FLUSH 1                    no data here: all entries before it were durable when it was answered
 *     DISCARD 4                  no data, whatever nr_sectors says
 *     MARK 8                     its text in the entry itself, data_len bytes from offset 32 on
 *     0: a write                 nr_sectors * S bytes of data behind the entry
 *
 * Our log has no FUA: a loop device sends flushes instead. ZERO becomes a write of zeros, as the kernel
 * does it below this target; these are holes in the file. There is a FLUSH where the log says that it was
 * durable (marks.ts), and the marks `mars POSITION` at the begin and the end. RESIZE has no equivalent.
 */
import {assert} from '../core/assert.js';
import {DiskError, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {formatPosition} from '../core/position.js';
import {MIB} from '../core/units.js';
import {readMarks} from './marks.js';
import {RECORD} from './record.js';
import {walkLog, type WalkedLog} from './walk.js';

const SECTOR_BYTES = 512;
const MAGIC = 0x6a73_6677_7368_72n;
const VERSION = 1n;
const ENTRY_BYTES = 32;
const ZERO_BYTES_MAX = MIB;

export const ENTRY_FLAG = {FLUSH: 1, FUA: 2, DISCARD: 4, MARK: 8} as const;

/** The first sector of the file. */
export function encodeSuper(entryCount: number): Buffer {
  const bytes = Buffer.alloc(SECTOR_BYTES);
  bytes.writeBigUInt64LE(MAGIC, 0);
  bytes.writeBigUInt64LE(VERSION, 8);
  bytes.writeBigUInt64LE(BigInt(entryCount), 16);
  bytes.writeUInt32LE(SECTOR_BYTES, 24);
  return bytes;
}

/**
 * One entry without its data.
 *
 * @param offset first byte on the disk, and `length` how many: multiples of 512
 * @param mark text of a MARK; at most 479 bytes
 */
export function encodeEntry(offset: number, length: number, flags: number, mark = ''): Buffer {
  assert(offset % SECTOR_BYTES === 0, 'whole sectors');
  assert(length % SECTOR_BYTES === 0, 'whole sectors');
  const text = Buffer.from(mark);
  assert(text.length < SECTOR_BYTES - ENTRY_BYTES, 'a mark fits its sector');
  const bytes = Buffer.alloc(SECTOR_BYTES);
  bytes.writeBigUInt64LE(BigInt(offset / SECTOR_BYTES), 0);
  bytes.writeBigUInt64LE(BigInt(length / SECTOR_BYTES), 8);
  bytes.writeBigUInt64LE(BigInt(flags), 16);
  bytes.writeBigUInt64LE(BigInt(text.length), 24);
  text.copy(bytes, ENTRY_BYTES);
  return bytes;
}

/** What was written. */
export interface WrittenLogWrites {
  readonly from: number;
  readonly to: number;
  readonly entries: number;
  readonly writes: number;
  readonly flushes: number;
  readonly discards: number;
}

/**
 * Writes the log from `from` to its end to a new file.
 *
 * @throws DiskError LOG_GONE where the log does not reach back to `from`, or was used again meanwhile;
 *   STORE_*
 */
export async function writeLogWrites(
  log: WalkedLog,
  path: string,
  from: number,
): Promise<WrittenLogWrites> {
  const {files} = log;
  if ((log.segments[0]?.header.start ?? Infinity) > from) throw gone(from);
  const {marks, end} = await readMarks(log, from, Infinity);
  let fd: number;
  try {
    fd = files.open(path, 'exclusive');
  } catch (error) {
    throw storeError(error, `make ${path}`);
  }

  try {
    const counts = await writeEntries(log, fd, {from, end, marks});
    files.sync(fd);
    return {from, to: end, ...counts};
  } catch (error) {
    files.unlink(path);
    throw storeError(error, `write ${path}`);
  } finally {
    files.close(fd);
  }
}

interface Stretch {
  readonly from: number;
  readonly end: number;
  readonly marks: readonly number[];
}

async function writeEntries(
  log: WalkedLog,
  fd: number,
  {from, end, marks}: Stretch,
): Promise<Omit<WrittenLogWrites, 'from' | 'to'>> {
  const writer = new EntryWriter(log.files, fd);
  let nextMark = 0;
  const flushUpTo = (position: number): void => {
    for (; (marks[nextMark] ?? Infinity) <= position; nextMark += 1) writer.flush();
  };
  writer.mark(`mars ${formatPosition(from)}`);
  const walked = await walkLog(log, from, end, (cursor) => {
    const {record, bytes, payloadOffset} = cursor;
    flushUpTo(record.position);
    const {diskOffset, storedLength, logicalLength} = record;
    if (record.type === RECORD.write) writer.write(diskOffset, bytes, payloadOffset, storedLength);
    else if (record.type === RECORD.discard) writer.discard(diskOffset, logicalLength);
    else if (record.type === RECORD.zero) writer.zero(diskOffset, logicalLength);
  });
  if (walked.position !== end) throw gone(walked.position);
  flushUpTo(end);
  writer.mark(`mars ${formatPosition(end)}`);
  return writer.finish();
}

/** Appends entries to a file. */
class EntryWriter {
  readonly #files: Files;
  readonly #fd: number;
  #offset = SECTOR_BYTES;
  #entries = 0;
  #writes = 0;
  #flushes = 0;
  #discards = 0;

  constructor(files: Files, fd: number) {
    this.#files = files;
    this.#fd = fd;
  }

  write(offset: number, bytes: Buffer, start: number, length: number): void {
    this.#entry(encodeEntry(offset, length, 0));
    this.#files.write(this.#fd, bytes, start, length, this.#offset);
    this.#offset += length;
    this.#writes += 1;
  }

  zero(offset: number, length: number): void {
    for (let done = 0; done < length; done += ZERO_BYTES_MAX) {
      const part = Math.min(ZERO_BYTES_MAX, length - done);
      this.#entry(encodeEntry(offset + done, part, 0));
      this.#offset += part;
      this.#writes += 1;
    }
  }

  discard(offset: number, length: number): void {
    this.#entry(encodeEntry(offset, length, ENTRY_FLAG.DISCARD));
    this.#discards += 1;
  }

  flush(): void {
    this.#entry(encodeEntry(0, 0, ENTRY_FLAG.FLUSH));
    this.#flushes += 1;
  }

  mark(text: string): void {
    this.#entry(encodeEntry(0, 0, ENTRY_FLAG.MARK, text));
  }

  /** The super last: without it the file is none of the kind. */
  finish(): Omit<WrittenLogWrites, 'from' | 'to'> {
    this.#files.truncate(this.#fd, this.#offset);
    this.#files.write(this.#fd, encodeSuper(this.#entries), 0, SECTOR_BYTES, 0);
    const [entries, writes] = [this.#entries, this.#writes];
    return {entries, writes, flushes: this.#flushes, discards: this.#discards};
  }

  #entry(bytes: Buffer): void {
    this.#files.write(this.#fd, bytes, 0, bytes.length, this.#offset);
    this.#offset += bytes.length;
    this.#entries += 1;
  }
}

function gone(position: number): DiskError {
  return new DiskError(
    'LOG_GONE',
    `the log from ${formatPosition(position)} on is not kept any more: name a later position`,
    {position: formatPosition(position)},
  );
}
