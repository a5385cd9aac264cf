/** Other ways to a simulated disk: that of the daemon, and that of a judge who is no process. */
import type {FileIdentity, Files, OpenMode} from '../../src/core/files.js';
import type {SimDisk} from './sim-disk.js';

/** The disk as the daemon has it: its descriptors live on when the disk process dies. */
export class DaemonFiles implements Files {
  readonly #disk: SimDisk;
  readonly #descriptors = new Set<number>();

  constructor(disk: SimDisk) {
    this.#disk = disk;
  }

  get descriptors(): ReadonlySet<number> {
    return this.#descriptors;
  }

  /** The machine is gone, and the daemon with it. */
  forget(): void {
    this.#descriptors.clear();
  }

  open(path: string, mode: OpenMode): number {
    const fd = this.#as(() => this.#disk.open(path, mode));
    this.#descriptors.add(fd);
    return fd;
  }

  close(fd: number): void {
    // A descriptor of a daemon that died with its machine.
    if (!this.#descriptors.delete(fd)) return;
    this.#as(() => {
      this.#disk.close(fd);
    });
  }

  read(fd: number, target: Buffer, offset: number, length: number, position: number): number {
    return this.#as(() => this.#disk.read(fd, target, offset, length, position));
  }

  sizeOf(fd: number): number {
    return this.#as(() => this.#disk.sizeOf(fd));
  }

  freeBytes(): number {
    return this.#disk.freeBytes();
  }

  list(directory: string): string[] {
    return this.#as(() => this.#disk.list(directory));
  }

  exists(path: string): boolean {
    return this.#as(() => this.#disk.exists(path));
  }

  write = readOnly;
  syncData = readOnly;
  sync = readOnly;
  truncate = readOnly;
  allocate = readOnly;
  identify = readOnly as () => FileIdentity;
  punch = readOnly;
  rename = readOnly;
  unlink = readOnly;
  makeDirectory = readOnly;
  syncDirectory = readOnly;

  #as<T>(call: () => T): T {
    const {actor} = this.#disk;
    this.#disk.actor = 'daemon';
    try {
      return call();
    } finally {
      this.#disk.actor = actor;
    }
  }
}

function readOnly(): never {
  throw new Error('whoever only looks changes nothing');
}

/** Looks at a disk without being a call: no hook, no fault, no death. */
export class PeekFiles implements Files {
  readonly #disk: SimDisk;
  readonly #paths = new Map<number, string>();
  #last = 0;

  constructor(disk: SimDisk) {
    this.#disk = disk;
  }

  open(path: string): number {
    if (!this.exists(path)) throw Object.assign(new Error(`ENOENT: ${path}`), {code: 'ENOENT'});
    this.#last += 1;
    this.#paths.set(this.#last, path);
    return this.#last;
  }

  close(fd: number): void {
    this.#paths.delete(fd);
  }

  read(fd: number, target: Buffer, offset: number, length: number, position: number): number {
    const bytes = target.subarray(offset, offset + length);
    return this.#disk.peek(this.#pathOf(fd), position, length, false, bytes).length;
  }

  sizeOf(fd: number): number {
    return this.#disk.peekSize(this.#pathOf(fd));
  }

  freeBytes(): number {
    return this.#disk.freeBytes();
  }

  list(directory: string): string[] {
    return this.#disk.peekNames(directory);
  }

  exists(path: string): boolean {
    const at = path.lastIndexOf('/');
    return this.#disk.peekNames(path.slice(0, at)).includes(path.slice(at + 1));
  }

  write = readOnly;
  syncData = readOnly;
  sync = readOnly;
  truncate = readOnly;
  allocate = readOnly;
  identify = readOnly as () => FileIdentity;
  punch = readOnly;
  rename = readOnly;
  unlink = readOnly;
  makeDirectory = readOnly;
  syncDirectory = readOnly;

  #pathOf(fd: number): string {
    return this.#paths.get(fd) ?? '';
  }
}
