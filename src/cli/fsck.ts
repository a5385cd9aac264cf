/**
 * `mars log verify --fsck`: runs the program that does it, shows its progress, and leaves nothing behind,
 * whoever ends first. In a process of its own, as no command loads FUSE, and as mounts of a process
 * that is killed have to be taken away by another.
 */
import {spawn, spawnSync, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {isErrorCode} from '../core/codes.js';
import {DiskError, storeError, type ErrorDetails} from '../core/errors.js';
import {requireFuse} from '../core/machine.js';
import {isBelow, listMounts} from '../core/mounts.js';
import {refinePathError} from './failure.js';
import {startProgress} from './progress.js';

const PREFIX = 'mars-fsck-';
/** Left where the program died between making and removing a name. */
const NAMELESS = ['log', 'overlay', 'init.json'];
const UMOUNT_MS = 10_000;
const INTERRUPTED = 130;

/** What is wanted of disk/fsck/check-log.ts. */
export interface FsckRequest {
  readonly place: {readonly home: string; readonly name: string} | {readonly directory: string};
  readonly base: 'image' | 'empty';
  readonly wish: {readonly at?: number; readonly from?: number; readonly every?: number};
  readonly limitBytes: number;
}

/** The file system of the disk at positions of the log. */
export interface FsckReport {
  /** The disk is known from here on, ... */
  readonly earliest: string;
  /** ... to here. */
  readonly end: string;
  readonly flushes: number;
  readonly checks: readonly FsckCheck[];
  readonly overtaken: number;
}

export interface FsckCheck {
  readonly position: string;
  readonly verdict: 'clean' | 'broken' | 'none' | 'other';
  readonly type: string | null;
  readonly detail: string | null;
}

interface Line {
  readonly done?: number;
  readonly total?: number;
  readonly result?: FsckReport;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly details: ErrorDetails;
  };
}

/**
 * Checks one log.
 *
 * @param directory a directory for it is made in this one, and taken away
 * @throws DiskError NOT_ROOT, FUSE_MISSING, LOOP_FAILED, LOG_GONE, STORE_FULL, USAGE, ...
 */
export async function checkFileSystem(
  request: FsckRequest,
  directory: string,
  label: string,
): Promise<FsckReport> {
  requireFuse();
  sweepDead(directory);
  const scratch = makeScratch(directory);
  const child = start({...request, scratch});
  const listeners = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => {
    const onSignal = (): void => {
      child.kill('SIGTERM');
      child.once('exit', () => {
        sweep(scratch);
        process.exit(INTERRUPTED);
      });
    };
    process.on(signal, onSignal);
    return () => process.off(signal, onSignal);
  });
  try {
    return await follow(child, label);
  } finally {
    sweep(scratch);
    for (const remove of listeners) remove();
  }
}

function makeScratch(directory: string): string {
  try {
    return fs.mkdtempSync(join(directory, `${PREFIX}${process.pid}-`));
  } catch (error) {
    const failure = storeError(error, `make a directory in ${directory}`);
    throw refinePathError(failure, directory, 'a directory for temporary files');
  }
}

function start(request: FsckRequest & {readonly scratch: string}): ChildProcess {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = fileURLToPath(new URL(`../disk/fsck/main.${extension}`, import.meta.url));
  const words = [...process.execArgv, program, JSON.stringify(request)];
  return spawn(process.execPath, words, {stdio: ['pipe', 'pipe', 'inherit'], cwd: '/'});
}

async function follow(child: ChildProcess, label: string): Promise<FsckReport> {
  const {stdout} = child;
  if (stdout === null) throw new Error('the program has an output');
  const ended = once(child, 'exit');
  let last: Line = {};
  let progress: Awaited<ReturnType<typeof startProgress>> | undefined;
  for await (const text of createInterface({input: stdout})) {
    last = JSON.parse(text) as Line;
    const {done, total} = last;
    if (done === undefined || total === undefined) continue;
    progress ??= await startProgress({
      ...{
        label,
        totalBytes: total,
        format: (count) => `${count} positions`,
        stream: process.stderr,
      },
    });
    progress.update(done);
  }

  progress?.end();
  await ended;
  if (last.result !== undefined) return last.result;
  const {code = 'BUG', message = 'the program that checks ended without a word'} = last.error ?? {};
  throw new DiskError(isErrorCode(code) ? code : 'BUG', message, last.error?.details ?? {});
}

/** Scratch directories whose command was killed together with its program. */
function sweepDead(directory: string): void {
  for (const name of listOf(directory)) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-\\w+$`, 'u').exec(name)?.[1];
    if (pid !== undefined && !fs.existsSync(`/proc/${pid}`)) sweep(join(directory, name));
  }
}

function listOf(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return []; // Making one in it tells why.
  }
}

/** Takes mounts and directories away; it touches nothing below a mount. */
function sweep(scratch: string): void {
  for (const {mountPoint} of listMounts().reverse()) {
    if (!isBelow(mountPoint, scratch)) continue;
    spawnSync('umount', ['-l', mountPoint], {timeout: UMOUNT_MS, stdio: 'ignore'});
  }

  for (const name of NAMELESS) fs.rmSync(join(scratch, name), {force: true});
  for (const name of ['disk', 'mnt', '']) {
    try {
      fs.rmdirSync(name === '' ? scratch : join(scratch, name));
    } catch {
      // Not made, or still mounted: the next run looks for it again.
    }
  }
}
