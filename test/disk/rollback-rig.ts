/**
 * What the main thread of a disk process has for a rollback: the real Rollback and History, front, committer and
 * replay, on files of a temporary directory. What a thread does, a call does here.
 */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import {join} from 'node:path';
import * as assert from 'uvu/assert';
import type {EventInput} from '../../src/core/events.js';
import {createNodeFiles} from '../../src/core/files.js';
import {homePaths, resourcePaths, type NodeFile, type ResourceFile} from '../../src/core/home.js';
import {writeJsonFile} from '../../src/core/json-file.js';
import {formatPosition} from '../../src/core/position.js';
import {readRollback, type RollbackFile} from '../../src/core/rollback-file.js';
import {MIB} from '../../src/core/units.js';
import {Commands} from '../../src/disk/commands.js';
import {History} from '../../src/disk/history.js';
import {Notices} from '../../src/disk/notices.js';
import type {DiskProcess} from '../../src/disk/process.js';
import {WORD} from '../../src/disk/shared.js';
import {WRITE_HEADROOM_BYTES, WRITE_TAILROOM_BYTES} from '../../src/fuse/handler.js';
import {momentAtPosition} from '../../src/log/moments.js';
import {beginLife, type Life} from '../sim/life.js';
import {SimClock} from '../sim/sim-clock.js';

const NAME = 'vol0';
const RESOURCE_ID = 'b'.repeat(32);
const STEPS_MAX = 10_000;
const LOOKS_MAX = 1000;

export type Mode = 'serve' | 'follow';

/** One resource, whose disk process is begun again as often as the test likes. */
export class RollbackRig {
  readonly home: string;
  readonly model: Buffer;
  readonly clock = new SimClock();
  readonly events: Omit<EventInput, 'node' | 'resource'>[] = [];
  /** Called in the place of the front, where there is one. @returns undefined: the front does it */
  onCommand: ((command: number) => boolean | undefined) | undefined;
  /** @returns true: the front does not look now */
  onWake: (() => boolean) | undefined;
  life!: Life;
  history!: History;
  notices!: Notices;
  #stamp = 0;

  constructor(sizeBytes = MIB) {
    this.home = fs.mkdtempSync(join(process.env['MARS_TEST_DIR'] ?? '/var/tmp', 'mars-rollback-'));
    this.model = Buffer.alloc(sizeBytes);
    const {directory, image, resourceFile} = this.paths;
    fs.mkdirSync(directory, {recursive: true});
    fs.writeFileSync(image, this.model);
    const createdAt = '2026-11-22T00:00:00.000Z';
    const node: NodeFile = {
      ...{schema: 1, name: 'alpha', id: 'a'.repeat(32)},
      ...{mounts: '/run/mars', devices: '/dev/mars', createdAt},
    };
    const resource: ResourceFile = {
      ...{schema: 1, name: NAME, id: RESOURCE_ID, sizeBytes, createdAt},
      ...{imagePath: image, imageOwned: true, designatedRole: 'primary', attached: true},
      ...{replayPaused: false, device: true, driver: 'auto', segmentBytes: 128 * 1024},
      ...{alignmentBytes: 8, durability: 'flush'},
    };
    writeJsonFile(homePaths(this.home).nodeFile, node);
    writeJsonFile(resourceFile, resource);
    this.#config = {home: this.home, node, resource};
  }

  readonly #config: {
    readonly home: string;
    readonly node: NodeFile;
    readonly resource: ResourceFile;
  };

  get paths() {
    return resourcePaths(this.home, NAME);
  }

  dispose(): void {
    fs.rmSync(this.home, {recursive: true, force: true});
  }

  /** A new life of the process; what the last one had open is left to the end of the test. */
  begin(mode: Mode = 'serve'): void {
    const files = createNodeFiles();
    const {clock} = this;
    const config = this.#config;
    this.life = beginLife({
      ...{files, clock, config, reverts: true, batchBytes: 2 ** 30, retainFrom: 0},
      random: randomBytes,
      note: () => undefined,
      responder: {answer: () => undefined, answerWrite: () => undefined},
    });
    this.notices = new Notices(clock);
    const {shared, front} = this.life;
    const commands = new Commands({
      ...{shared, clock},
      wake: () => {
        if (this.onWake?.() !== true) front.afterRequest();
      },
    });
    const disk = {
      ...{
        config,
        shared,
        commands,
        phase: 'serving',
        activated: {},
        spareCount: 0,
        notices: this.notices,
      },
      options: {home: this.home, name: NAME, mode, files, clock},
      command: (command: number, argument: number, label: string) =>
        this.#command(commands, command, argument, label),
      commit: () => {
        this.commit();
        return Promise.resolve();
      },
      event: (input: Omit<EventInput, 'node' | 'resource'>) => {
        this.events.push(input);
      },
    } as unknown as DiskProcess;
    this.history = new History(disk);
    Object.assign(disk, {history: this.history});
    this.history.start(config.resource);
    this.#keep();
  }

  async #command(
    commands: Commands,
    command: number,
    argument: number,
    label: string,
  ): Promise<boolean> {
    const isDone = this.onCommand?.(command) ?? (await commands.run(command, argument, label));
    this.#keep();
    return isDone;
  }

  #keep(): void {
    for (let count = 0; count < STEPS_MAX && this.life.keeper.step() === 0;) count += 1;
  }

  commit(): void {
    this.life.committer.commit();
    this.life.front.afterRequest();
  }

  write(offset: number, length: number): void {
    this.#stamp += 1;
    const bytes = Buffer.alloc(length, this.#stamp);
    const request = Buffer.alloc(WRITE_HEADROOM_BYTES + length + WRITE_TAILROOM_BYTES);
    bytes.copy(request, WRITE_HEADROOM_BYTES);
    const result = this.life.front.write(offset, length, request, WRITE_HEADROOM_BYTES, 1, 0);
    assert.is(result, 0, 'the log has room');
    bytes.copy(this.model, offset);
    this.#keep();
    this.commit();
  }

  /** Replay does what it may. */
  replay(): void {
    for (let count = 0; count < 100; count += 1) this.clock.advance(this.life.replayer.step() + 1);
  }

  get position(): number {
    return this.life.shared.appended.get();
  }

  /** Asks for a rollback to a position, as the daemon does. */
  async ask(position: number, more: Partial<RollbackFile> = {}): Promise<RollbackFile> {
    const {shared} = this.life;
    const place = {
      files: createNodeFiles(),
      directory: this.paths.logDirectory,
      resourceId: RESOURCE_ID,
    };
    const base = shared.replayed.get();
    const moment = await momentAtPosition(place, {from: base, to: this.position}, position);
    const file: RollbackFile = {
      ...{schema: 1, phase: 'running', asked: 'then', position: formatPosition(position)},
      ...{chain: moment?.chain ?? '', base: formatPosition(base)},
      from: formatPosition(this.position),
      startedAt: '2026-11-22T00:00:00.000Z',
      ...more,
    };
    writeJsonFile(this.paths.rollbackFile, file);
    return file;
  }

  get file(): RollbackFile | undefined {
    return readRollback(this.paths.rollbackFile);
  }

  get isClosed(): boolean {
    return this.life.shared.get(WORD.closed) !== 0;
  }

  /** The pulse goes on until `done`. */
  async until(done: () => boolean, what: string): Promise<void> {
    for (let count = 0; count < LOOKS_MAX; count += 1) {
      if (done()) return;
      this.history.rollback.look();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }

    assert.unreachable(
      `it comes to pass: ${what}; ${JSON.stringify(this.history.rollback.status())}`,
    );
  }

  assertReads(content: Buffer): void {
    const found = Buffer.alloc(content.length);
    assert.is(this.life.front.read(0, found.length, found, 0), 0);
    assert.ok(found.equals(content), 'the disk holds what it should');
  }
}
