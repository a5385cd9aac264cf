/** sqlite and PostgreSQL as workloads; each returns transactions per second. */
import fs from 'node:fs';
import path from 'node:path';
import {Postgres} from '../test/helpers/postgres.js';
import {run} from '../test/helpers/run.js';

/** Single-row transactions, each durable: WAL journal, synchronous FULL. */
export async function sqliteRate(directory: string, transactions: number): Promise<number> {
  const file = path.join(directory, 'bench.db');
  const setUp = 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);';
  await run('sqlite3', [file, setUp]);
  const row = `INSERT INTO t(v) VALUES('${'x'.repeat(100)}');\n`;
  const input = `PRAGMA synchronous=FULL;\n${row.repeat(transactions)}`;
  const startedMs = performance.now();
  await run('sqlite3', [file], {input, timeoutMs: 120_000});
  return (transactions * 1000) / (performance.now() - startedMs);
}

/** pgbench's TPC-B like mix, scale 5, four clients. */
export async function pgbenchRate(
  directory: string,
  scratch: string,
  seconds: number,
): Promise<number> {
  fs.chmodSync(directory, 0o755);
  const server = await Postgres.create(path.join(directory, 'pg'), scratch);
  try {
    await server.pgbench('-i', '-q', '-s', '5');
    const output = await server.pgbench('-c', '4', '-j', '2', '-T', String(seconds));
    const rate = Number(/^tps = ([\d.]+)/mu.exec(output)?.[1]);
    if (!Number.isFinite(rate)) throw new Error(`pgbench printed no rate:\n${output}`);
    return rate;
  } finally {
    await server.stop('fast');
  }
}
