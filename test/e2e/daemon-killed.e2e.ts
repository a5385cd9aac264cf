/** The daemon is killed at random moments of its operations; the next one makes sense of what is left. */
import fs from 'node:fs';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {callSocket} from '../../src/control/client.js';
import {homePaths, resourcePaths} from '../../src/core/home.js';
import {listLoopDevices} from '../../src/daemon/loop-devices.js';
import {listMounts} from '../../src/core/mounts.js';
import {isBelow} from '../../src/core/mounts.js';
import {until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const ROUNDS = process.env['MARS_SOAK'] === '1' ? 100 : 6;
const SEED = Number(process.env['MARS_SEED'] ?? Date.now() % 1_000_000);
let node: TempHome;
let state = SEED;

/** Numbers in [0, 1) that the seed decides (mulberry32). */
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}

test.before(async () => {
  process.stdout.write(`MARS_SEED=${SEED}\n`);
  node = await TempHome.create();
});
test.after(() => node.dispose());

/** Asks and does not wait; the answer may never come. */
function ask(method: 'POST' | 'DELETE', to: string, body: unknown): Promise<unknown> {
  const socket = homePaths(node.home).daemonSocket;
  const timeoutMs = 30_000;
  const unreachable = 'DAEMON_UNREACHABLE';
  return callSocket({socket, method, path: `/v1/${to}`, body, timeoutMs, unreachable}).catch(
    () => undefined,
  );
}

const create = () => ask('POST', 'resources', {name: 'web01', sizeBytes: 16 * 2 ** 20});
const secondary = () => ask('POST', 'resources/web01/secondary', {});
const primary = () => ask('POST', 'resources/web01/primary', {});
const remove = () => ask('DELETE', 'resources/web01', {confirmed: true});

/** What daemon and disk process said last, for whoever looks into a failure. */
function words(): string {
  const {output} = resourcePaths(node.home, 'web01');
  const disk = fs.existsSync(output) ? fs.readFileSync(output, 'utf8').slice(-4000) : 'none';
  return `daemon: ${node.daemonOutput()}\ndisk: ${disk}`;
}

function remains(): string[] {
  const mounts = listMounts().map(({mountPoint}) => mountPoint);
  const loops = listLoopDevices().map(({backingFile}) => backingFile);
  const names = fs.readdirSync(path.join(node.home, 'resources'));
  return [...mounts, ...loops].filter((place) => isBelow(place, node.home)).concat(names);
}

test(`the daemon may be killed at any moment (${ROUNDS} rounds)`, async () => {
  const whole = [create, secondary, primary, secondary, remove];
  for (let round = 0; round < ROUNDS; round += 1) {
    const victim = Math.floor(random() * whole.length);
    const moment = Math.floor(random() * 700);
    const what = `seed ${SEED}, round ${round}: operation ${victim} killed after ${moment} ms`;
    for (const operation of whole.slice(0, victim)) await operation();
    const pending = whole[victim]?.();
    await sleep(moment);
    await node.killDaemon();
    await pending;
    await node.startDaemon();
    // Whatever was cut off: all of it can be asked again, and ends with nothing left.
    await create();
    const view = await node.json<{role?: string; error?: unknown}>(
      'primary',
      'web01',
      '--timeout',
      '40',
    );
    assert.is(view.role, 'primary', `${what}: ${JSON.stringify(view)}\n${words()}`);
    await secondary();
    await remove();
    await until(() => remains().length === 0, 10_000, `${what}: end of ${remains().join(', ')}`);
  }
});

test.run();
