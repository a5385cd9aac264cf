/**
 * A state file that is written in place: two slots of 4 KiB, each with a sequence number and a
 * CRC; the newest valid one counts. It needs no space and one fdatasync, so it can be written
 * while the file system is full. A torn write damages the older slot's place only.
 *
 *   slot: magic u32, crc u32 (of the rest), sequence u64, length u32, JSON text
 */
import {crc32} from 'node:zlib';
import {assert} from './assert.js';
import {passCrashPoint} from './crash-points.js';
import {DiskError} from './errors.js';
import type {Files} from './files.js';

const SLOT_BYTES = 4096;
const HEADER_BYTES = 20;
const MAGIC = 0x544c534d;

/** A two-slot state file that is open for writing: one writer, each `write` durable when it returns. */
export class TwoSlotFile {
  readonly #files: Files;
  readonly #fd: number;
  readonly #slot = Buffer.alloc(SLOT_BYTES);
  #sequence: number;

  private constructor(files: Files, fd: number, sequence: number) {
    this.#files = files;
    this.#fd = fd;
    this.#sequence = sequence;
  }

  /** Makes the file with `value` in it; the caller syncs the directory. */
  static create(files: Files, path: string, value: unknown): TwoSlotFile {
    const fd = files.open(path, 'exclusive');
    files.write(fd, Buffer.alloc(2 * SLOT_BYTES), 0, 2 * SLOT_BYTES, 0);
    const file = new TwoSlotFile(files, fd, 0);
    file.write(value);
    files.sync(fd);
    return file;
  }

  /**
   * Opens the file and reads the newest valid slot.
   *
   * @throws DiskError STATE_UNREADABLE where no slot is valid
   */
  static open(files: Files, path: string): {file: TwoSlotFile; value: unknown} {
    const fd = files.open(path, 'write');
    const bytes = Buffer.alloc(2 * SLOT_BYTES);
    files.read(fd, bytes, 0, bytes.length, 0);
    const newest = newestSlot(bytes);
    if (newest === undefined) {
      files.close(fd);
      throw new DiskError('STATE_UNREADABLE', `${path} has no valid slot`, {file: path});
    }

    // The newest slot may be in the page cache only, left there by a process that was killed, or
    // by a sync that failed: the other slot is written next, so this one is made durable first.
    const offset = (newest.sequence % 2) * SLOT_BYTES;
    files.write(fd, bytes, offset, SLOT_BYTES, offset);
    files.syncData(fd);
    return {file: new TwoSlotFile(files, fd, newest.sequence), value: newest.value};
  }

  /** Reads without opening for writing. @returns undefined where no slot is valid */
  static peek(files: Files, path: string): unknown {
    const fd = files.open(path, 'read');
    try {
      const bytes = Buffer.alloc(2 * SLOT_BYTES);
      files.read(fd, bytes, 0, bytes.length, 0);
      return newestSlot(bytes)?.value;
    } finally {
      files.close(fd);
    }
  }

  /** Writes `value` to the older slot and makes it durable. */
  write(value: unknown): void {
    const text = JSON.stringify(value);
    const length = Buffer.byteLength(text);
    assert(length <= SLOT_BYTES - HEADER_BYTES, 'state fits a slot');
    const sequence = this.#sequence + 1;
    const slot = this.#slot.fill(0);
    slot.writeUInt32LE(MAGIC, 0);
    slot.writeBigUInt64LE(BigInt(sequence), 8);
    slot.writeUInt32LE(length, 16);
    slot.write(text, HEADER_BYTES);
    slot.writeUInt32LE(crc32(slot.subarray(8)), 4);
    this.#files.write(this.#fd, slot, 0, SLOT_BYTES, (sequence % 2) * SLOT_BYTES);
    passCrashPoint('two-slot-written');
    this.#files.syncData(this.#fd);
    passCrashPoint('two-slot-synced');
    this.#sequence = sequence;
  }

  close(): void {
    this.#files.close(this.#fd);
  }
}

function newestSlot(bytes: Buffer): {sequence: number; value: unknown} | undefined {
  let newest: {sequence: number; value: unknown} | undefined;
  for (const offset of [0, SLOT_BYTES]) {
    const slot = bytes.subarray(offset, offset + SLOT_BYTES);
    if (slot.readUInt32LE(0) !== MAGIC) continue;
    if (slot.readUInt32LE(4) !== crc32(slot.subarray(8))) continue;
    const sequence = Number(slot.readBigUInt64LE(8));
    if (newest !== undefined && newest.sequence > sequence) continue;
    const text = slot.toString('utf8', HEADER_BYTES, HEADER_BYTES + slot.readUInt32LE(16));
    newest = {sequence, value: JSON.parse(text)};
  }

  return newest;
}
