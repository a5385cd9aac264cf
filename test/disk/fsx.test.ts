/**
 * After fsx (Apple, 1991): random operations at any byte, on real files, against a copy in memory.
 * The whole data path without FUSE and threads: front, log, commit, replay, keeper; process deaths
 * at random moments. MARS_FSX_SEED repeats a run, MARS_FSX_OPERATIONS makes it longer.
 *
 * Power is not lost here, so nothing depends on what fdatasync does: where there is a tmpfs with room, the
 * files lie in it, and the run does not wait for the device that all other tests use.
 */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {join} from 'node:path';
import {createNodeFiles, type Files} from '../../src/core/files.js';
import {KIB, MIB} from '../../src/core/units.js';
import {PENDING, WRITE_HEADROOM_BYTES, WRITE_TAILROOM_BYTES} from '../../src/fuse/handler.js';
import {WORD} from '../../src/disk/shared.js';
import {resourcePaths} from '../../src/core/home.js';
import {beginLife, type Life} from '../sim/life.js';
import {below, createRandom, pick, pickWeighted, type Random} from '../sim/random.js';
import {SimClock} from '../sim/sim-clock.js';
import {diskConfig} from '../sim/sim-config.js';

const OPERATIONS = Number(process.env['MARS_FSX_OPERATIONS'] ?? 100_000);
const SEED = Number(process.env['MARS_FSX_SEED'] ?? Math.floor(Date.now() / 1000) % 2 ** 31);
const DISK_BYTES = 4 * MIB;
const LENGTH_MAX = 128 * KIB;
const PATIENCE = 10_000;
/** Of the log with its spares, and the image. */
const ROOM_BYTES = 512 * MIB;

const WEIGHTS = {
  write: 500,
  read: 350,
  discard: 30,
  zero: 30,
  flush: 20,
  rotate: 1,
  replay: 4,
  keeper: 40,
  kill: 1,
  compare: 1,
} as const;

/** Real files whose descriptors can all be closed at once, as the death of a process does. */
function createMortalFiles(): {files: Files; die: () => void} {
  const inner = createNodeFiles();
  const open = new Set<number>();
  const files: Files = {
    ...inner,
    open: (path, mode) => {
      const fd = inner.open(path, mode);
      open.add(fd);
      return fd;
    },
    close: (fd) => {
      inner.close(fd);
      open.delete(fd);
    },
  };
  const die = (): void => {
    for (const fd of open) inner.close(fd);
    open.clear();
  };
  return {files, die};
}

class Exerciser {
  readonly #random: Random = createRandom(SEED);
  readonly #clock = new SimClock();
  readonly #mortal = createMortalFiles();
  readonly #model = Buffer.alloc(DISK_BYTES);
  readonly #request = Buffer.alloc(WRITE_HEADROOM_BYTES + LENGTH_MAX + WRITE_TAILROOM_BYTES);
  readonly #target = Buffer.alloc(DISK_BYTES);
  readonly #home: string;
  readonly #answered = new Set<number>();
  #life: Life;
  #unique = 0;
  kills = 0;

  constructor(home: string) {
    this.#home = home;
    const {directory, image} = resourcePaths(home, 'vol0');
    fs.mkdirSync(directory, {recursive: true});
    fs.writeFileSync(image, '');
    fs.truncateSync(image, DISK_BYTES);
    this.#life = this.#begin();
  }

  step(): void {
    this.#clock.advance(1);
    const operation = pickWeighted(this.#random, WEIGHTS);
    const offset = below(this.#random, DISK_BYTES);
    const unit = pick(this.#random, [1, 512, 4096]);
    const wanted = unit * (1 + Math.floor((LENGTH_MAX / unit) ** this.#random() - 1));
    const start = offset - (offset % unit);
    const length = Math.min(wanted, DISK_BYTES - start);
    const {front, replayer, keeper} = this.#life;
    if (operation === 'write') this.#write(start, length);
    else if (operation === 'read') this.#compare(start, length);
    else if (operation === 'compare') this.#compare(0, DISK_BYTES);
    else if (operation === 'discard' || operation === 'zero') {
      this.#request.fill(0xaa);
      this.#await((unique) => front.zero(start, length, operation === 'discard', unique, 0));
      this.#model.fill(0, start, start + length);
    } else if (operation === 'flush') this.#await((unique) => front.flush(unique, 0));
    else if (operation === 'rotate') front.log.rotate();
    else if (operation === 'replay') {
      this.#clock.advance(20_000);
      replayer.step();
    } else if (operation === 'keeper') keeper.step();
    else this.#kill();
    front.afterRequest();
  }

  /** Replays everything and compares the image alone. */
  finish(): void {
    const {committer, replayer, shared, front} = this.#life;
    for (let count = 0; shared.replayed.get() < front.log.position; count += 1) {
      assert.ok(count < PATIENCE, 'everything is replayed in the end');
      this.#clock.advance(20_000);
      committer.step();
      replayer.step();
    }

    const image = fs.readFileSync(resourcePaths(this.#home, 'vol0').image);
    this.#judge(image, 0, DISK_BYTES);
    this.#mortal.die();
  }

  #begin(): Life {
    const {node, resource} = diskConfig({
      seed: SEED,
      steps: [],
      config: {
        sizeBytes: DISK_BYTES,
        segmentBytes: 4 * MIB,
        alignmentBytes: 8,
        durability: 'flush',
        capacityBytes: 0,
        interleaving: 0,
        batchBytes: 64 * MIB,
      },
    });
    const {image} = resourcePaths(this.#home, 'vol0');
    const answer = (unique: number): void => {
      this.#answered.add(unique);
    };
    return beginLife({
      files: this.#mortal.files,
      clock: this.#clock,
      config: {home: this.#home, node, resource: {...resource, imagePath: image}},
      random: (size) => Buffer.from(Array.from({length: size}, () => below(this.#random, 256))),
      responder: {answer, answerWrite: answer},
      batchBytes: 64 * MIB,
      note: () => undefined,
    });
  }

  #write(start: number, length: number): void {
    const payload = this.#request.subarray(WRITE_HEADROOM_BYTES, WRITE_HEADROOM_BYTES + length);
    const stamp = below(this.#random, 2 ** 32);
    for (let at = 0; at < length; at += 1) payload[at] = (stamp + at * 7) >>> (at & 15);
    payload.copy(this.#model, start);
    const {front} = this.#life;
    this.#await((unique) =>
      front.write(start, length, this.#request, WRITE_HEADROOM_BYTES, unique, 0),
    );
    this.#request.fill(0xee);
  }

  /** Makes a request and lets the threads run until it is answered. */
  #await(call: (unique: number) => number): void {
    this.#unique += 1;
    const result = call(this.#unique);
    if (result === 0) return;
    assert.is(result, PENDING);
    const {committer, keeper, replayer, front, shared} = this.#life;
    for (let count = 0; !this.#answered.has(this.#unique); count += 1) {
      assert.ok(count < PATIENCE, 'a request is answered');
      this.#clock.advance(10);
      committer.step();
      if (shared.get(WORD.parked) !== 0) {
        keeper.step();
        replayer.step();
      }

      front.afterRequest();
    }

    this.#answered.clear();
  }

  #kill(): void {
    this.kills += 1;
    this.#mortal.die();
    this.#life = this.#begin();
    this.#compare(0, DISK_BYTES);
  }

  #compare(start: number, length: number): void {
    assert.is(this.#life.front.read(start, length, this.#target, 0), 0);
    this.#judge(this.#target, start, length);
  }

  #judge(found: Buffer, start: number, length: number): void {
    if (found.compare(this.#model, start, start + length, 0, length) === 0) return;
    let at = 0;
    while (found[at] === this.#model[start + at]) at += 1;
    assert.unreachable(
      `byte ${start + at} is ${found[at] ?? -1}, not ${this.#model[start + at] ?? -1}`,
    );
  }
}

function directoryWithRoom(): string {
  try {
    const {bavail, bsize} = fs.statfsSync('/dev/shm');
    fs.accessSync('/dev/shm', fs.constants.W_OK);
    if (bavail * bsize > ROOM_BYTES) return '/dev/shm';
  } catch {
    // Not every machine has one.
  }

  return '/var/tmp';
}

test(`${OPERATIONS} random operations on real files equal a model, seed ${SEED}`, () => {
  const home = fs.mkdtempSync(join(directoryWithRoom(), 'mars-fsx-'));
  let done = 0;
  try {
    const exerciser = new Exerciser(join(home, 'home'));
    for (; done < OPERATIONS; done += 1) exerciser.step();
    exerciser.finish();
    assert.ok(exerciser.kills > 0);
  } catch (error) {
    console.log(`fsx failed at operation ${done}: repeat with MARS_FSX_SEED=${SEED}`);
    throw error;
  } finally {
    fs.rmSync(home, {recursive: true, force: true});
  }
});

test.run();
