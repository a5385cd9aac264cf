/**
 * A random user of one disk against a model in memory, as the fsx of Apple and SGI does for file
 * systems: file and device are used in turn, at every offset and length, while replay runs, the
 * log rotates, and processes are killed. MARS_SEED repeats a run, MARS_OPERATIONS makes it longer.
 */
import {spawnSync} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {callSocket} from '../../src/control/client.js';
import {resourcePaths} from '../../src/core/home.js';
import {killAll} from '../helpers/chaos.js';
import {alignedBuffer} from '../helpers/hash.js';
import {until} from '../helpers/run.js';
import {killAndWait, TempHome} from '../helpers/temp-home.js';
import {below, createRandom, pickWeighted, type Random} from '../sim/random.js';

const NAME = 'fsx';
const DISK_BYTES = 48 * 1024 * 1024;
const LENGTH_MAX = 256 * 1024;
const SECTOR_BYTES = 512;
const OPERATIONS_DEFAULT = process.env['MARS_SOAK'] === '1' ? 100_000 : 40_000;
const OPERATIONS = Number(process.env['MARS_OPERATIONS'] ?? OPERATIONS_DEFAULT);
const SEED = Number(process.env['MARS_SEED'] ?? randomBytes(4).readUInt32LE());

/** Of 100,000 operations about 15 are kills, 3 are restarts of everything. */
const WEIGHTS = {
  read: 40_000,
  write: 50_000,
  flush: 3000,
  zero: 500,
  discard: 1000,
  rotate: 30,
  pause: 15,
  kill: 15,
  restart: 3,
} as const;

type Operation = keyof typeof WEIGHTS;

/** One of the two ways to the disk; opened anew after a restart of everything. */
interface Door {
  readonly path: string;
  readonly descriptor: number;
  readonly alignment: number;
}

class RandomUser {
  readonly #node: TempHome;
  readonly #random: Random;
  readonly #model = Buffer.alloc(DISK_BYTES);
  readonly #scratch = alignedBuffer(LENGTH_MAX);
  readonly #noise = randomBytes(4 * LENGTH_MAX);
  #doors: readonly Door[] = [];
  readonly done: Record<Operation, number> = {
    read: 0,
    write: 0,
    flush: 0,
    zero: 0,
    discard: 0,
    rotate: 0,
    pause: 0,
    kill: 0,
    restart: 0,
  };

  constructor(node: TempHome, random: Random) {
    this.#node = node;
    this.#random = random;
  }

  open(): void {
    const {O_RDWR, O_DIRECT} = fs.constants;
    const image = this.#node.imageFile(NAME);
    const device = this.#node.device(NAME);
    this.#doors = [
      {path: image, descriptor: fs.openSync(image, O_RDWR), alignment: 1},
      {
        path: device,
        descriptor: fs.openSync(device, O_RDWR | O_DIRECT),
        alignment: SECTOR_BYTES,
      },
    ];
  }

  close(): void {
    for (const {descriptor} of this.#doors) {
      try {
        fs.closeSync(descriptor);
      } catch {
        // Of a file whose processes were killed, close(2) tells ENOTCONN, and closes it.
      }
    }

    this.#doors = [];
  }

  async step(): Promise<void> {
    const operation = pickWeighted(this.#random, WEIGHTS);
    this.done[operation] += 1;
    await this[operation]();
  }

  /** Every byte, through both doors. */
  compareAll(): void {
    for (const door of this.#doors) {
      for (let offset = 0; offset < DISK_BYTES; offset += LENGTH_MAX) {
        this.#compare(door, offset, LENGTH_MAX);
      }
    }
  }

  read(): void {
    const {door, offset, length} = this.#range();
    this.#compare(door, offset, length);
  }

  write(): void {
    const {door, offset, length} = this.#range();
    const from = below(this.#random, this.#noise.byteLength - length);
    this.#noise.copy(this.#scratch, 0, from, from + length);
    assert.is(fs.writeSync(door.descriptor, this.#scratch, 0, length, offset), length);
    this.#scratch.copy(this.#model, offset, 0, length);
  }

  flush(): void {
    fs.fsyncSync(this.#door().descriptor);
  }

  zero(): void {
    this.#makeZero('--zero-range', '--zeroout');
  }

  discard(): void {
    this.#makeZero('--punch-hole', '--force');
  }

  rotate(): Promise<void> {
    return this.#post('/log/rotate');
  }

  /** Lets a backlog grow, of which the next operations read. */
  async pause(): Promise<void> {
    await this.#post('/replay/pause');
    for (let count = 0; count < 200; count += 1) {
      this.write();
      this.read();
    }

    await this.#post('/replay/resume');
  }

  async kill(): Promise<void> {
    const {pid} = await this.#node.diskProcesses(NAME);
    process.kill(pid, 'SIGKILL');
    // These wait in the kernel, and are answered by the next generation.
    for (let count = 0; count < 20; count += 1) {
      this.write();
      this.read();
    }

    await killAndWait(pid);
  }

  /** Nothing that was acknowledged is lost by the end of processes, flushed or not. */
  async restart(): Promise<void> {
    await killAll(this.#node, NAME);
    this.close();
    await this.#node.startDaemon();
    await this.#node.mars('primary', NAME);
    this.open();
    this.compareAll();
  }

  /** The device by its own ioctls, the file by fallocate(2): both are FALLOCATE to us. */
  #makeZero(fileMode: string, deviceMode: string): void {
    const {door, offset, length} = this.#range();
    const range = ['--offset', String(offset), '--length', String(length)];
    const words: [string, string[]] =
      door.alignment === 1
        ? ['fallocate', [fileMode, '--keep-size', ...range, door.path]]
        : ['blkdiscard', [deviceMode, ...range, door.path]];
    const result = spawnSync(words[0], words[1], {timeout: 30_000, encoding: 'utf8'});
    assert.is(result.status, 0, result.stderr);
    this.#model.fill(0, offset, offset + length);
  }

  #compare(door: Door, offset: number, length: number): void {
    const got = this.#scratch.subarray(0, length);
    assert.is(fs.readSync(door.descriptor, got, 0, length, offset), length);
    const want = this.#model.subarray(offset, offset + length);
    if (got.equals(want)) return;
    const at = got.findIndex((byte, index) => byte !== want[index]);
    throw new Error(
      `${door.path}: byte ${offset + at} is ${got[at] ?? 'missing'}, not ${want[at] ?? 'there'} ` +
        `(read of ${length} bytes at ${offset}; seed ${SEED}; done ${JSON.stringify(this.done)})`,
    );
  }

  #door(): Door {
    const door = this.#doors[below(this.#random, this.#doors.length)];
    if (door === undefined) throw new Error('the disk is not open');
    return door;
  }

  /** Small ranges as a rule, at block borders and the disk's end more often than by chance. */
  #range(): {door: Door; offset: number; length: number} {
    const door = this.#door();
    const unit = door.alignment;
    const lengthMax = below(this.#random, 20) === 0 ? LENGTH_MAX : 16 * 1024;
    const length = (1 + below(this.#random, lengthMax / unit)) * unit;
    let offset = below(this.#random, (DISK_BYTES - length) / unit + 1) * unit;
    const habit = below(this.#random, 10);
    if (habit === 0) offset -= offset % 4096;
    if (habit === 1) offset = DISK_BYTES - length;
    return {door, offset, length};
  }

  async #post(path: string): Promise<void> {
    const {socket} = resourcePaths(this.#node.home, NAME);
    const call = {socket, method: 'POST', path, timeoutMs: 20_000} as const;
    await until(
      // The disk process may be starting: its socket is not there yet.
      async () => {
        if ((await this.#node.diskStatus(NAME)) === undefined) return false;
        await callSocket({...call, unreachable: 'DISK_UNREACHABLE'});
        return true;
      },
      30_000,
      `answer to ${path}`,
    );
  }
}

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

test(`${OPERATIONS} random operations agree with a model in memory, seed ${SEED}`, async () => {
  // Small logfiles: many of them are recycled while this runs.
  const options = ['--size', String(DISK_BYTES), '--set', 'segment-bytes=4M'];
  await node.mars('resource', 'create', NAME, ...options);
  const user = new RandomUser(node, createRandom(SEED));
  user.open();
  try {
    for (let count = 0; count < OPERATIONS; count += 1) await user.step();
    user.compareAll();
    await node.replayed(NAME, 60_000);
    user.compareAll();
  } finally {
    user.close();
    process.stdout.write(`\nseed ${SEED}: ${JSON.stringify(user.done)}\n`);
  }
});

test.run();
