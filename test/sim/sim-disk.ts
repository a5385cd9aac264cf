/**
 * A disk that the simulator owns: `Files` in memory with a volatile cache, faults, and the two
 * deaths: `kill()` (the process dies, the cache lives) and `crash()` (the power is gone).
 *
 * Threads are simulated without threads: all thread bodies are synchronous steps over `Files`, so
 * `beforeCall` lets the simulator run steps of other actors in the middle of one actor's step.
 *
 *   state   means                                   left by
 *   alive   calls work                              the countdown, kill(), crash()
 *   dead    every call throws SimCrash, no effect   kill(), crash()
 *
 * Not modelled: permissions, links, hard limits on names, delayed allocation.
 */
import {dirname} from 'node:path';
import {assert} from '../../src/core/assert.js';
import type {FileIdentity, Files, OpenMode} from '../../src/core/files.js';
import {PAGE_BYTES} from './sim-inode.js';
import type {CrashPolicy, SimInode} from './sim-inode.js';
import {SimNames} from './sim-names.js';
import {SimFaults} from './sim-faults.js';
import type {SimCall} from './sim-faults.js';
import {below, chance, pick} from './random.js';
import type {Random} from './random.js';

/** The process is gone, in the middle of a call. Nobody but the simulator may catch it. */
export class SimCrash extends Error {
  override readonly name = 'SimCrash';
}

export interface SimDiskOptions {
  readonly random: Random;
  /** Space for data; default unlimited. */
  readonly capacityBytes?: number;
}

interface Descriptor {
  readonly inode: SimInode;
  readonly path: string;
  readonly writable: boolean;
}

/** `before`: nothing was done. `part`: a write or punch by half. `after`: done, never returned. */
type Moment = 'before' | 'part' | 'after';

export class SimDisk implements Files {
  readonly faults = new SimFaults();
  /** Who calls, for `beforeCall` and traces; the simulator sets it. */
  actor = 'main';
  /** Runs before each call takes effect. */
  beforeCall: ((actor: string, call: SimCall, path: string) => void) | undefined;
  /** Calls since the disk was made. */
  calls = 0;
  capacityBytes: number;

  readonly #random: Random;
  readonly #names = new SimNames();
  #descriptors = new Map<number, Descriptor>();
  #lastDescriptor = 2;
  #sequence = 0;
  #crashIn: number | undefined;
  #dead = false;

  constructor(options: SimDiskOptions) {
    this.#random = options.random;
    this.capacityBytes = options.capacityBytes ?? Infinity;
  }

  // Control, for the simulator only.

  get dead(): boolean {
    return this.#dead;
  }

  get descriptorCount(): number {
    return this.#descriptors.size;
  }

  /** The process dies here and now, between two calls. @throws SimCrash */
  die(what: string): never {
    this.#dead = true;
    throw new SimCrash(`died at ${what}`);
  }

  /** The process dies in the n-th call from now: 1 is the next one. */
  crashAfter(calls: number | undefined): void {
    assert(calls === undefined || calls > 0, 'the countdown is positive');
    this.#crashIn = calls;
  }

  /**
   * Process death: the cache survives, descriptors are closed, the next process may begin.
   *
   * @param others descriptors of another process, which lives on
   */
  kill(others: ReadonlySet<number> = new Set()): void {
    this.#descriptors = new Map([...this.#descriptors].filter(([fd]) => others.has(fd)));
    this.#crashIn = undefined;
    this.#dead = false;
  }

  /** Power loss: of what no sync covered, anything legal is left. */
  crash(policy: CrashPolicy = this.drawPolicy()): void {
    this.kill();
    for (const inode of this.#names.crash(this.#random, policy)) {
      inode.crash(this.#random, policy);
    }
  }

  drawPolicy(): CrashPolicy {
    return {
      mode: pick(this.#random, ['all', 'none', 'ordered', 'random', 'random', 'random'] as const),
      cut: this.#sequence - below(this.#random, Math.min(this.#sequence, 64) + 1),
      keepProbability: pick(this.#random, [0.1, 0.5, 0.9]),
      tearProbability: pick(this.#random, [0, 0.1, 0.4]),
    };
  }

  /** Memory pressure: clean pages are read from the device again. */
  evict(): void {
    for (const inode of this.#names.all()) inode.evict();
  }

  /** Flips one bit of the stored file. */
  rot(path: string, position: number, bit: number): void {
    this.#inodeOf(path, 'read').rot(position, bit);
  }

  /** Looks at a file without being a call: no hook, fault or death. */
  peek(
    path: string,
    position: number,
    length: number,
    stable = false,
    bytes: Buffer = Buffer.alloc(length),
  ): Buffer {
    const inode = this.#inodeOf(path, 'read');
    const count = stable
      ? inode.readStable(bytes, 0, length, position)
      : inode.read(bytes, 0, length, position);
    return bytes.subarray(0, count);
  }

  /** Paths of the files below a directory, without being a call. */
  peekNames(directory: string): string[] {
    return this.#names.list(directory);
  }

  peekSize(path: string): number {
    return this.#inodeOf(path, 'read').sizeBytes;
  }

  usedBytes(path?: string): number {
    if (path !== undefined) return this.#inodeOf(path, 'read').pageCount * PAGE_BYTES;
    let pages = 0;
    const open = [...this.#descriptors.values()].map(({inode}) => inode);
    for (const inode of new Set([...this.#names.all(), ...open])) pages += inode.pageCount;
    return pages * PAGE_BYTES;
  }

  /** Pages that no sync covers, over all files. */
  dirtyPages(): number {
    let pages = 0;
    for (const inode of this.#names.all()) pages += inode.dirtyPageCount;
    return pages;
  }

  // Files.

  open(path: string, mode: OpenMode): number {
    return this.#call('open', path, () => {
      const found = this.#names.get(path);
      if (found === undefined && (mode === 'read' || mode === 'write'))
        throw fault('ENOENT', 'open');
      if (found !== undefined && mode === 'exclusive') throw fault('EEXIST', 'open');
      if (found?.directory === true) throw fault('EISDIR', 'open');
      const inode = found ?? this.#create(path, false);
      this.#lastDescriptor += 1;
      this.#descriptors.set(this.#lastDescriptor, {inode, path, writable: mode !== 'read'});
      return this.#lastDescriptor;
    });
  }

  close(fd: number): void {
    this.#onDescriptor('close', fd, () => {
      this.#descriptors.delete(fd);
    });
  }

  read(fd: number, target: Buffer, offset: number, length: number, position: number): number {
    assert(offset + length <= target.byteLength, 'a read fits its buffer');
    return this.#onDescriptor('read', fd, ({inode}) =>
      inode.read(target, offset, length, position),
    );
  }

  write(fd: number, source: Buffer, offset: number, length: number, position: number): void {
    assert(offset + length <= source.byteLength, 'a write fits its buffer');
    assert(Number.isSafeInteger(position), 'a file position is a safe integer');
    const bytes = source.subarray(offset, offset + length);
    const part = (): void => {
      this.#writePart(fd, bytes, position);
    };
    this.#onDescriptor(
      'write',
      fd,
      (open) => {
        this.#writeWhole(open, bytes, position);
      },
      part,
    );
  }

  syncData(fd: number): void {
    this.#onDescriptor('syncData', fd, ({inode}) => {
      inode.sync();
    });
  }

  sync(fd: number): void {
    this.#onDescriptor('sync', fd, ({inode}) => {
      inode.sync();
    });
  }

  /** Written zeros stand for reserved space: they take room now, and what is written later none. */
  allocate(fd: number, sizeBytes: number): void {
    const size = this.sizeOf(fd);
    if (size < sizeBytes) this.write(fd, zerosOf(sizeBytes - size), 0, sizeBytes - size, size);
  }

  truncate(fd: number, sizeBytes: number): void {
    this.#onDescriptor('truncate', fd, ({inode, writable}) => {
      if (!writable) throw fault('EINVAL', 'ftruncate');
      inode.truncate(this.#next(), sizeBytes);
    });
  }

  sizeOf(fd: number): number {
    return this.#onDescriptor('sizeOf', fd, ({inode}) => inode.sizeBytes);
  }

  identify(fd: number): FileIdentity {
    return this.#onDescriptor('identify', fd, ({inode}) => ({
      device: 1,
      inode: inode.id,
      birthMs: inode.id,
      sizeBytes: inode.sizeBytes,
      kind: 'file' as const,
    }));
  }

  punch(fd: number, ranges: readonly number[]): void {
    const punchSome = (count: number): void => {
      const {inode} = this.#descriptor(fd, 'fallocate');
      for (let at = 0; at < count; at += 2) {
        inode.punch(this.#next(), ranges[at] ?? 0, ranges[at + 1] ?? 0);
      }
    };
    const part = (): void => {
      punchSome(2 * below(this.#random, ranges.length / 2 + 1));
    };
    this.#onDescriptor(
      'punch',
      fd,
      ({writable}) => {
        if (!writable) throw fault('EBADF', 'fallocate');
        punchSome(ranges.length);
      },
      part,
    );
  }

  rename(from: string, to: string): void {
    this.#call('rename', from, () => {
      const inode = this.#inodeOf(from, 'rename');
      assert(dirname(from) === dirname(to), 'the model renames within one directory');
      assert(!inode.directory, 'the model renames files');
      this.#names.rename(this.#next(), from, to, inode);
    });
  }

  unlink(path: string): void {
    this.#call('unlink', path, () => {
      this.#names.unlink(this.#next(), path, this.#inodeOf(path, 'unlink'));
    });
  }

  list(directory: string): string[] {
    return this.#call('list', directory, () => {
      if (!this.#inodeOf(directory, 'scandir').directory) throw fault('ENOTDIR', 'scandir');
      return this.#names.list(directory);
    });
  }

  exists(path: string): boolean {
    return this.#call('exists', path, () => this.#names.get(path) !== undefined);
  }

  makeDirectory(path: string): void {
    this.#call('makeDirectory', path, () => {
      this.#makeDirectories(path);
    });
  }

  syncDirectory(path: string): void {
    this.#call('syncDirectory', path, () => {
      if (!this.#inodeOf(path, 'open').directory) throw fault('ENOTDIR', 'open');
      this.#names.sync(path);
    });
  }

  freeBytes(): number {
    return Math.max(0, Math.min(Number.MAX_SAFE_INTEGER, this.capacityBytes) - this.usedBytes());
  }

  // Parts.

  #makeDirectories(path: string): void {
    const found = this.#names.get(path);
    if (found?.directory === true) return;
    if (found !== undefined) throw fault('EEXIST', 'mkdir');
    this.#makeDirectories(dirname(path));
    this.#create(path, true);
  }

  #create(path: string, directory: boolean): SimInode {
    const parent = this.#names.get(dirname(path));
    if (parent === undefined) throw fault('ENOENT', directory ? 'mkdir' : 'open');
    if (!parent.directory) throw fault('ENOTDIR', directory ? 'mkdir' : 'open');
    return this.#names.create(this.#next(), path, directory);
  }

  #writeWhole(open: Descriptor, bytes: Buffer, position: number): void {
    if (!open.writable) throw fault('EBADF', 'write');
    const needed = open.inode.pagesNeeded(position, bytes.byteLength) * PAGE_BYTES;
    const {capacityBytes} = this;
    if (needed > 0 && capacityBytes < Infinity && this.usedBytes() + needed > capacityBytes) {
      // As in reality: what fits is written, then comes the error.
      this.#writePart(undefined, bytes, position, open.inode);
      throw fault('ENOSPC', 'write');
    }

    open.inode.write(this.#next(), bytes, position);
  }

  /** Whole pages from the start, as far as room and chance let it. */
  #writePart(fd: number | undefined, bytes: Buffer, position: number, inode?: SimInode): void {
    const file = inode ?? this.#descriptor(fd ?? -1, 'write').inode;
    let free = Math.floor((this.capacityBytes - this.usedBytes()) / PAGE_BYTES);
    const wanted = below(this.#random, bytes.byteLength + 1);
    let done = 0;
    while (done < wanted) {
      const step = Math.min(PAGE_BYTES - ((position + done) % PAGE_BYTES), bytes.byteLength - done);
      free -= file.pagesNeeded(position + done, step);
      if (free < 0) break;
      done += step;
    }

    file.write(this.#next(), bytes.subarray(0, done), position);
  }

  #next(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  #inodeOf(path: string, syscall: string): SimInode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw fault('ENOENT', syscall);
    return inode;
  }

  #descriptor(fd: number, syscall: string): Descriptor {
    const open = this.#descriptors.get(fd);
    if (open === undefined) throw fault('EBADF', syscall);
    return open;
  }

  #onDescriptor<T>(
    call: SimCall,
    fd: number,
    effect: (open: Descriptor) => T,
    part?: () => void,
  ): T {
    // A dead process has no descriptors to be wrong about.
    if (this.#dead) throw new SimCrash(`${call} after death`);
    const open = this.#descriptor(fd, call);
    return this.#call(call, open.path, () => effect(open), part, open);
  }

  /** Every call comes through here: hook, countdown, faults, effect. */
  #call<T>(call: SimCall, path: string, effect: () => T, part?: () => void, open?: Descriptor): T {
    if (this.#dead) throw new SimCrash(`${call} ${path} after death`);
    const {actor} = this;
    this.beforeCall?.(actor, call, path);
    this.actor = actor;
    this.calls += 1;
    if (this.#countdown()) this.#die(`${actor}: ${call} ${path}`, effect, part);
    const kind = this.faults.meet(this.#random, call, path);
    if (kind === undefined) return effect();
    if (kind === 'lost' || kind === 'misdirected') return this.#lie(kind, effect, open);
    if ((call === 'sync' || call === 'syncData') && kind === 'EIO') {
      open?.inode.failSync(this.#random);
    } else if (chance(this.#random, 0.5)) part?.();
    throw fault(kind, call);
  }

  #countdown(): boolean {
    if (this.#crashIn === undefined) return false;
    this.#crashIn -= 1;
    return this.#crashIn <= 0;
  }

  #die(what: string, effect: () => unknown, part: (() => void) | undefined): never {
    const moment = pick<Moment>(this.#random, ['before', 'part', 'after']);
    if (moment === 'part') part?.();
    if (moment === 'after') {
      try {
        effect();
      } catch {
        // The call would have failed; the process is dead before it could know.
      }
    }

    this.#dead = true;
    throw new SimCrash(`died ${moment} ${what}`);
  }

  #lie<T>(kind: 'lost' | 'misdirected', effect: () => T, open: Descriptor | undefined): T {
    assert(open !== undefined, 'only a write to a descriptor can be lost');
    const before = open.inode.dirtyPageNumbers();
    const result = effect();
    for (const page of open.inode.dirtyPageNumbers()) {
      if (before.has(page)) continue;
      open.inode.lieAbout(page, kind === 'lost' ? undefined : page ^ 1);
    }

    return result;
  }
}

let zeros = Buffer.alloc(0);

function zerosOf(length: number): Buffer {
  if (zeros.length < length) zeros = Buffer.alloc(length);
  return zeros;
}

/** An error as node:fs makes it. */
export function fault(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${syscall}`), {code, syscall});
}
