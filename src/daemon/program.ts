/**
 * `node dist/daemon/main.js --home HOME [--log-level LEVEL]`: the daemon in the foreground. JSON
 * lines on stdout; ends in order on SIGTERM and SIGINT, and disks go on. `--check` only loads it.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import {resolve} from 'node:path';
import {parseArgs} from 'node:util';
import {destination, pino, type Logger} from 'pino';
import type {RestartRequest} from '../control/daemon-api.js';
import {CODES, EXIT} from '../core/codes.js';
import {systemClock} from '../core/clock.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {HOME_DEFAULT} from '../core/home.js';
import {programVersion} from '../disk/program-version.js';
import {startDaemon} from './daemon.js';
import type {DiskPrograms} from './context.js';

interface Words {
  readonly home: string;
  readonly level: string;
  /** Only load everything, tell the version, and end. */
  readonly check: boolean;
}

function parseWords(): Words {
  try {
    const {values} = parseArgs({
      options: {
        home: {type: 'string'},
        'log-level': {type: 'string', default: 'info'},
        check: {type: 'boolean', default: false},
      },
    });
    const home = values.home ?? process.env['MARS_HOME'] ?? HOME_DEFAULT;
    const level = values['log-level'];
    if (!Object.hasOwn(pino.levels.values, level)) {
      throw new Error(`--log-level takes ${Object.keys(pino.levels.values).join(', ')}`);
    }

    return {home: resolve(home), level, check: values.check};
  } catch (error) {
    throw new DiskError('USAGE', error instanceof Error ? error.message : String(error));
  }
}

/**
 * The programs of a disk. They are always the built ones, also where the daemon runs from its
 * sources: threads are loaded by their names, and a disk process should start fast.
 */
function diskPrograms(): DiskPrograms {
  const built = import.meta.url.endsWith('.ts') ? '../../dist/disk/' : '../disk/';
  const directory =
    process.env['MARS_DISK_DIRECTORY'] ?? fileURLToPath(new URL(built, import.meta.url));
  return {holder: resolve(directory, 'holder.sh'), main: resolve(directory, 'main.js')};
}

/**
 * With the same output and environment; it finds the lock free, and the disks as they are. A Node
 * that cannot be started is no reason to leave the disks alone: then it is the one that runs.
 *
 * @returns its pid; undefined where none could be started
 */
async function startSuccessor(
  {program, node = process.execPath}: RestartRequest,
  {home, level, log}: {readonly home: string; readonly level: string; readonly log: Logger},
): Promise<number | undefined> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const main = program ?? fileURLToPath(new URL(`main.${extension}`, import.meta.url));
  const words = [...process.execArgv, main, '--home', home, '--log-level', level];
  for (const each of new Set([node, process.execPath])) {
    try {
      const child = spawn(each, words, {stdio: ['ignore', 'inherit', 'inherit']});
      await once(child, 'spawn');
      child.unref();
      return child.pid;
    } catch (error) {
      log.error({err: error, node: each}, 'the successor cannot be started with this Node');
    }
  }

  return undefined;
}

async function main(): Promise<number> {
  const {home, level, check} = parseWords();
  const version = programVersion();
  if (check) {
    process.stdout.write(`${version}\n`);
    return EXIT.done;
  }

  // Written at once: the last lines before an end are those that are needed.
  const log = pino({level, base: {pid: process.pid}}, destination({dest: 1, sync: true}));
  const programs = diskPrograms();
  const daemon = await startDaemon({home, version, programs, clock: systemClock, log});
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info({signal}, 'stopping');
      daemon.stop();
    });
  }

  log.info({home, version}, 'ready');
  await daemon.ended;
  const successor = daemon.successor();
  if (successor !== undefined) {
    const pid = await startSuccessor(successor, {home, level, log});
    if (pid === undefined) return EXIT.bug;
    log.info({successor: pid}, 'another process takes over');
  }

  return EXIT.done;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!isDiskError(error)) throw error;
  const {code, message, details} = error;
  process.stderr.write(`${JSON.stringify({error: {code, message, details}})}\n`);
  process.exitCode = EXIT[CODES[code].exit];
}
