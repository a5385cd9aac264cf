/**
 * The program behind `mars log verify --fsck`: `main REQUEST`, a JSON CheckLogRequest. One JSON document
 * a line on stdout: {done, total}, then {result} or {error}. It ends by SIGINT and SIGTERM, and when its
 * standard input ends, as it does when its parent dies; it unmounts what it mounted in any case.
 */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';
import {DiskError, isDiskError, storeError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {checkLog, type CheckLogRequest} from './check-log.js';

const UMOUNT_MS = 10_000;

const request = JSON.parse(process.argv[2] ?? '') as CheckLogRequest;

function tell(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Kills the program that runs, unmounts, ends. The worker thread, which blocks in read(2), still serves. */
function breakOff(): void {
  for (const pid of childrenOf(process.pid)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }

  for (const place of ['mnt', 'disk']) {
    const args = ['-l', join(request.scratch, place)];
    spawnSync('umount', args, {timeout: UMOUNT_MS, killSignal: 'SIGKILL', stdio: 'ignore'});
  }

  end();
}

function childrenOf(pid: number): number[] {
  const text = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

/** process.exit would wait for the worker thread for ever. */
function end(): void {
  process.kill(process.pid, 'SIGKILL');
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, breakOff);
process.stdin.on('end', breakOff).on('error', breakOff).resume();
process.stdout.on('error', breakOff);

try {
  const result = await checkLog(createNodeFiles(), request, (done, total) => {
    tell({done, total});
  });
  tell({result});
  end();
} catch (error) {
  const shown = storeError(error, 'check the disk');
  const known = isDiskError(shown) ? shown : new DiskError('BUG', String(shown));
  const {code, message, details} = known;
  tell({error: {code, message, details}});
  breakOff();
}
