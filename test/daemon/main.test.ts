import fs from 'node:fs';
import {spawn} from 'node:child_process';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {DaemonStatus} from '../../src/control/api.js';
import {callSocket} from '../../src/control/client.js';
import {isObject} from '../../src/core/json-file.js';
import {makeHome, removeHome, until, writeNode} from './fake-node.js';

const test = suite<{home: string}>('daemon program');
const MAIN = fileURLToPath(new URL('../../src/daemon/main.ts', import.meta.url));

interface Running {
  output: string;
  status: number | null | undefined;
  kill(signal: NodeJS.Signals): void;
}

function start(...args: string[]): Running {
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...args]);
  const running: Running = {output: '', status: undefined, kill: (signal) => child.kill(signal)};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (running.output += text));
  }

  child.once('close', (status) => (running.status = status));
  return running;
}

/** Exit status and error code of a daemon that cannot start. */
async function refusal(...args: string[]): Promise<string> {
  const running = start(...args);
  await until(() => running.status !== undefined, 'the end of the daemon');
  const line = running.output.trim().split('\n').at(-1) ?? '';
  const parsed: unknown = JSON.parse(line);
  const error = isObject(parsed) ? parsed['error'] : undefined;
  return `${running.status ?? 'signal'} ${isObject(error) ? String(error['code']) : 'no code'}`;
}

test.before.each((context) => {
  context.home = makeHome('mars-main-');
});
test.after.each(({home}) => {
  removeHome(home);
});

test('homes that cannot be used are refused with their code, and not changed', async ({home}) => {
  const file = join(home, 'node.json');
  writeNode(home, {schema: 2});
  assert.is(await refusal('--home', home), '3 HOME_NEWER');
  const newer = fs.readFileSync(file, 'utf8');
  assert.match(newer, '"schema":2');
  fs.writeFileSync(file, newer.slice(0, 30));
  assert.is(await refusal('--home', home), '6 STATE_UNREADABLE');
  assert.is(fs.readFileSync(file, 'utf8'), newer.slice(0, 30));
  assert.is(await refusal('--home', join(home, 'nothing')), '3 NOT_INITIALISED');
  assert.is(await refusal('--home', home, '--colour'), '2 USAGE');
  assert.is(await refusal('--home', home, '--log-level', 'loud'), '2 USAGE');
});

test('one daemon runs at a home, and what SIGKILL leaves hinders nobody', async ({home}) => {
  const first = start('--home', home);
  await until(() => first.output.includes('"msg":"ready"'), 'the first daemon');
  assert.is(await refusal('--home', home), '3 DAEMON_RUNNING');
  first.kill('SIGKILL');
  await until(() => first.status !== undefined, 'its end');
  assert.ok(fs.existsSync(join(home, 'run/daemon.sock')), 'a stale socket is left');
  const second = start('--home', home);
  await until(() => second.output.includes('"msg":"ready"'), 'the second daemon');
  second.kill('SIGTERM');
  await until(() => second.status !== undefined, 'its orderly end');
  assert.is(second.status, 0);
  assert.not(fs.existsSync(join(home, 'run/daemon.sock')));
  for (const line of second.output.trim().split('\n')) JSON.parse(line);
});

test('a successor runs with the Node that was asked for, and with the old one where that is gone', async ({
  home,
}) => {
  const socket = join(home, 'run/daemon.sock');
  const call = <T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> =>
    callSocket<T>({
      ...{socket, method, path, body, timeoutMs: 20_000, unreachable: 'DAEMON_UNREACHABLE'},
    });
  const pidNow = () => call<DaemonStatus>('GET', '/v1/daemon').then(({pid}) => pid);
  const first = start('--home', home);
  await until(() => first.output.includes('"msg":"ready"'), 'the first daemon');
  const other = join(home, 'node');
  fs.symlinkSync(process.execPath, other);
  let pid = await pidNow();
  try {
    for (const [node, used] of [
      [other, other],
      [join(home, 'gone'), process.execPath],
    ]) {
      const before = pid;
      await call('POST', '/v1/daemon/restart', {node});
      await until(async () => {
        pid = await pidNow().catch(() => before);
        return pid !== before;
      }, 'the successor');
      const [running = ''] = fs.readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').split('\0');
      assert.is(fs.realpathSync(running), fs.realpathSync(used ?? ''));
      if (node === other) assert.is(running, other);
    }
  } finally {
    process.kill(pid ?? 0, 'SIGTERM');
    await until(() => !fs.existsSync(socket), 'the end of the last one');
  }
});

test.run();
