/**
 * Databases know what was promised to them. Their clients write down outside of the disk what was
 * acknowledged; after the kills all of it must be there, and the database's own check clean.
 */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {killAll, killingDisk} from '../helpers/chaos.js';
import {Postgres} from '../helpers/postgres.js';
import {run, tryRun, until} from '../helpers/run.js';
import {skip} from '../helpers/skip.js';
import {TempHome} from '../helpers/temp-home.js';

const SECONDS = process.env['MARS_SOAK'] === '1' ? 60 : 5;
const KILL_INTERVAL_MS = 1500;
/** On a busy machine a disk process takes its time to start. */
const KILLS_MIN = 2;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

/** Feeds a client one transaction at a time; `end` stops it and tells what was acknowledged. */
interface Recorder {
  readonly count: () => number;
  readonly end: () => Promise<readonly number[]>;
}

/**
 * @param transaction text of transaction N, which prints `done N` when it is committed
 */
function record(
  command: string,
  args: readonly string[],
  transaction: (number: number) => string,
): Recorder {
  const client = spawn(command, args, {cwd: '/', stdio: ['pipe', 'pipe', 'ignore']});
  const acknowledged: number[] = [];
  let ended = false;
  let text = '';
  let exited = false;
  client.once('close', () => (exited = true));
  client.stdin.on('error', () => (ended = true));
  client.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n')) {
      const done = /^done (\d+)$/u.exec(text.slice(0, at))?.[1];
      text = text.slice(at + 1);
      if (done === undefined) continue;
      acknowledged.push(Number(done));
      if (!ended) client.stdin.write(transaction(acknowledged.length + 1));
    }
  });
  client.stdin.write(transaction(1));
  return {
    count: () => acknowledged.length,
    end: async () => {
      ended = true;
      client.stdin.end();
      await until(() => exited, 60_000, 'end of the database client');
      return acknowledged;
    },
  };
}

async function work(recorder: Recorder, kills: () => number): Promise<void> {
  const startedMs = performance.now();
  await until(
    () => performance.now() - startedMs > SECONDS * 1000 && kills() >= KILLS_MIN,
    SECONDS * 1000 + 60_000,
    'end of the working time',
  );
  // A client that hangs would pass with what it had: it has to go on after the last kill.
  const before = recorder.count();
  await until(() => recorder.count() > before, 20_000, 'transaction after the kills');
}

async function remount(name: string, mounted: string): Promise<void> {
  await until(
    async () => (await tryRun('umount', [mounted])).status === 0,
    30_000,
    'end of the orphaned mount',
  );
  await node.startDaemon();
  await node.mars('primary', name);
  await node.mount(node.device(name), path.basename(mounted));
}

for (const [journal, synchronous] of [
  ['wal', 'FULL'],
  // With FULL, sqlite does not make the removal of its journal durable, which is the commit.
  ['delete', 'EXTRA'],
] as const) {
  test(`sqlite (${journal} journal) has every acknowledged commit after SIGKILLs`, async () => {
    const name = `sqlite-${journal}`;
    const device = await node.disk(name, '256M');
    await run('mkfs.ext4', ['-q', device]);
    const mounted = await node.mount(device, name);
    const file = path.join(mounted, 'test.db');
    await run('sqlite3', [
      file,
      `PRAGMA journal_mode=${journal}; CREATE TABLE t(n INTEGER PRIMARY KEY, v TEXT);`,
    ]);
    const recorder = record(
      'sqlite3',
      ['-bail', file],
      (number) =>
        (number === 1 ? `PRAGMA synchronous=${synchronous};\n` : '') +
        `INSERT INTO t VALUES(${number}, '${'v'.repeat(number % 500)}');\n` +
        `SELECT 'done ' || ${number} WHERE ${number} IN (SELECT max(n) FROM t);\n`,
    );
    const kills = await killingDisk(node, name, KILL_INTERVAL_MS, (count) => work(recorder, count));
    assert.ok(kills >= KILLS_MIN, `${kills} kills`);
    await killAll(node, name);
    const acknowledged = await recorder.end();
    await remount(name, mounted);

    assert.is((await run('sqlite3', [file, 'PRAGMA integrity_check;'])).trim(), 'ok');
    const rows = new Set((await run('sqlite3', [file, 'SELECT n FROM t;'])).split('\n'));
    assert.equal(
      acknowledged.filter((number) => !rows.has(String(number))),
      [],
    );
    await node.unmount(mounted);
    await run('e2fsck', ['-fn', node.device(name)]);
    await node.mars('secondary', name);
  });
}

test('PostgreSQL has every acknowledged commit after SIGKILLs', async (context) => {
  if (!Postgres.isInstalled()) {
    skip(context, 'PostgreSQL is not installed: bin/setup');
    return;
  }

  const device = await node.disk('postgres', '768M');
  await run('mkfs.ext4', ['-q', device]);
  const mounted = await node.mount(device, 'postgres');
  fs.chmodSync(mounted, 0o755);
  const scratch = fs.mkdtempSync(path.join(node.directory, 'scratch-'));
  const server = await Postgres.create(path.join(mounted, 'pg'), scratch);
  try {
    await server.pgbench('-i', '-q', '-s', '2');
    await server.sql('CREATE TABLE acknowledged(n bigint PRIMARY KEY)');
    const [command, args] = server.client();
    const recorder = record(
      command,
      args,
      (number) => `INSERT INTO acknowledged VALUES(${number}) RETURNING 'done ' || n;\n`,
    );
    let bench: Awaited<ReturnType<typeof server.tryPgbench>> | undefined;
    const kills = await killingDisk(node, 'postgres', KILL_INTERVAL_MS, async (count) => {
      bench = await server.tryPgbench('-c', '3', '-T', String(SECONDS));
      await work(recorder, count);
    });
    assert.ok(kills >= KILLS_MIN, `${kills} kills`);
    assert.is(bench?.status, 0, bench?.stderr);
    await killAll(node, 'postgres');
    const acknowledged = await recorder.end();
    // Without its disk the server cannot end in order: this is its crash.
    await server.kill();
    await remount('postgres', mounted);
    await server.start();

    await server.amcheck();
    const rows = new Set((await server.sql('SELECT n FROM acknowledged')).split('\n'));
    assert.equal(
      acknowledged.filter((number) => !rows.has(String(number))),
      [],
    );
    const sums = await server.sql(
      'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM ' +
        'pgbench_history), (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) ' +
        'FROM pgbench_history)',
    );
    assert.is(sums.trim(), 't|t');
    await server.stop('fast');
  } finally {
    await server.kill();
  }

  await node.unmount(mounted);
  await run('e2fsck', ['-fn', node.device('postgres')]);
  await node.mars('secondary', 'postgres');
});

test.run();
