/**
 * A node whose home lies on a file system that forgets (server.ts), with ext4 on its disk and applications in it;
 * and the power loss: at one moment between two requests everything is as a disk would be left, all
 * processes end, and the node starts from that.
 */
import {spawn, type ChildProcess} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {cutPower, loopsBelow, removeLeftovers} from '../helpers/leftovers.js';
import {run, tryRun, until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';
import {AppendWriter, SqliteWriter, type Writer} from '../torture/writers.js';
import {POWER_LOSS_PREFIX} from './file-server.js';

const SERVER = path.join(import.meta.dirname, 'server.ts');
const DISK = 'web';
const DISK_SIZE = '48M';
const START_MS = 60_000;

export interface PowerLossOptions {
  readonly seed: number;
  /** Power losses, one after the other. */
  readonly losses: number;
  /** Pieces of work that each application has to do before the power is cut. */
  readonly piecesLeast: number;
  /** The device below says of an fsync that it is done, and does nothing. */
  readonly lies?: boolean;
}

export interface PowerLossResult {
  /** Pieces of work that were acknowledged before a power loss, and looked for after it. */
  readonly pieces: number;
  /** What each power loss did, as the server printed it. */
  readonly output: string;
}

/**
 * Runs one seed.
 *
 * @throws Error where something that was acknowledged is not there, or the node does not come back
 */
export async function losePower(options: PowerLossOptions): Promise<PowerLossResult> {
  const rig = await PowerRig.create(options.seed, options.lies === true);
  try {
    const result = await rig.run(options);
    await rig.dispose();
    return result;
  } catch (error) {
    const words = `seed ${options.seed}: ${error instanceof Error ? error.message : String(error)}`;
    const text = `${words}\n${rig.output}\n${rig.daemonOutput()}`;
    rig.disposeByForce();
    throw new Error(text, {cause: error});
  }
}

class PowerRig {
  output = '';
  readonly #directory: string;
  readonly #power: string;
  readonly #server: ChildProcess;
  #node: TempHome | undefined;
  #lives = 0;
  #isOver = false;

  private constructor(seed: number, lies: boolean) {
    const base = process.env['MARS_TEST_DIR'] ?? '/var/tmp';
    this.#directory = fs.mkdtempSync(path.join(base, 'power-'));
    this.#power = path.join(this.#directory, 'power');
    fs.mkdirSync(this.#power);
    // The place is no argument: what has it among its words is ended with the power.
    this.#server = spawn(process.execPath, ['--import', 'tsx', SERVER, String(seed)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {...process.env, POWER_LOSS_MOUNT: this.#power, POWER_LOSS_LIES: lies ? '1' : '0'},
    });
    for (const stream of [this.#server.stdout, this.#server.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }

    process.on('exit', this.disposeByForce);
  }

  static async create(seed: number, lies: boolean): Promise<PowerRig> {
    const rig = new PowerRig(seed, lies);
    try {
      await rig.#mounted();
      const before = process.env['MARS_TEST_DIR'];
      process.env['MARS_TEST_DIR'] = rig.#power;
      try {
        rig.#node = await TempHome.create();
        // What the test made, not mars.
        for (const directory of [rig.#power, rig.#node.directory]) syncDirectory(directory);
      } finally {
        if (before === undefined) delete process.env['MARS_TEST_DIR'];
        else process.env['MARS_TEST_DIR'] = before;
      }
    } catch (error) {
      rig.disposeByForce();
      throw new Error(`${String(error)}\n${rig.output}`, {cause: error});
    }

    return rig;
  }

  async run({losses, piecesLeast}: PowerLossOptions): Promise<PowerLossResult> {
    const node = this.#node;
    if (node === undefined) throw new Error('there is a node');
    const device = await node.disk(DISK, DISK_SIZE);
    await run('mkfs.ext4', ['-q', device]);
    const writers: Writer[] = [new SqliteWriter(), new AppendWriter()];
    let mount = await node.mount(device, 'data');
    for (const writer of writers) await writer.prepare(mount);
    await run('sync', ['-f', mount]);
    let pieces = 0;
    for (let loss = 1; loss <= losses; loss += 1) {
      const goals = writers.map(({acked}) => acked + piecesLeast);
      for (const writer of writers) writer.start(mount);
      await until(
        () => writers.every(({acked}, index) => acked >= (goals[index] ?? 0)),
        120_000,
        `${piecesLeast} pieces: ${writers.map(({name, failure}) => `${name} ${failure}`).join()}`,
      );
      const acknowledged = writers.map(({acked}) => acked);
      await this.#lose(loss, node, writers);
      await this.#powerOn(node);
      mount = await node.mount(node.device(DISK), 'data');
      for (const [index, writer] of writers.entries()) {
        const found = await writer.found(mount);
        const least = acknowledged[index] ?? 0;
        if (found < least) throw new Error(`${writer.name}: ${found} of ${least} are there`);
        writer.acked = found;
        pieces += least;
      }
    }

    await node.unmount(mount);
    await run('e2fsck', ['-fn', node.device(DISK)], {timeoutMs: 60_000});
    return {pieces, output: this.output};
  }

  daemonOutput(): string {
    try {
      return this.#node?.daemonOutput() ?? '';
    } catch (error) {
      return String(error);
    }
  }

  async dispose(): Promise<void> {
    if (this.#isOver) return;
    await this.#node?.dispose();
    await tryRun('umount', [this.#power]);
    this.disposeByForce();
  }

  async #lose(loss: number, node: TempHome, writers: readonly Writer[]): Promise<void> {
    // With the file system go all mounts below it, and with them the names of what the devices are on.
    const loops = loopsBelow(node.directory);
    await tryRun('mkdir', [path.join(this.#power, `${POWER_LOSS_PREFIX}${loss}`)]);
    if (!this.output.includes(`${POWER_LOSS_PREFIX}${loss} `)) {
      await until(
        () => this.output.includes(`${POWER_LOSS_PREFIX}${loss} `),
        10_000,
        `power loss ${loss}`,
      );
    }

    cutPower(node.directory, loops);
    for (const writer of writers) await writer.kill();
    // Nothing that the kernel kept of the files may live on.
    await until(
      async () => (await tryRun('umount', [this.#power])).status === 0,
      30_000,
      'end of the mount that lost its power',
    );
    await this.#mounted();
  }

  async #powerOn(node: TempHome): Promise<void> {
    await node.startDaemon();
    await node.mars('primary', DISK);
    await until(
      async () => (await node.diskStatus(DISK)) !== undefined && hasDevice(node),
      START_MS,
      'disk after the power loss',
    );
  }

  async #mounted(): Promise<void> {
    this.#lives += 1;
    await until(
      () => (this.output.match(/^life$/gmu) ?? []).length >= this.#lives,
      20_000,
      `life ${this.#lives} of the file system: ${this.output}`,
    );
  }

  readonly disposeByForce = (): void => {
    if (this.#isOver) return;
    this.#isOver = true;
    process.off('exit', this.disposeByForce);
    if (this.#node !== undefined) cutPower(this.#node.directory, []);
    this.#server.kill('SIGKILL');
    removeLeftovers(this.#directory, undefined);
  };
}

function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function hasDevice(node: TempHome): boolean {
  try {
    return fs.existsSync(node.device(DISK));
  } catch {
    return false;
  }
}
