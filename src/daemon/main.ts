/**
 * `node dist/daemon/main.js --home HOME [--log-level LEVEL]`: the daemon in the foreground. JSON
 * lines on stdout; ends in order on SIGTERM and SIGINT, and disks go on.
 */
import fs from 'node:fs';
import {fileURLToPath} from 'node:url';
import {resolve} from 'node:path';
import {parseArgs} from 'node:util';
import {destination, pino} from 'pino';
import {CODES, EXIT} from '../core/codes.js';
import {systemClock} from '../core/clock.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {HOME_DEFAULT} from '../core/home.js';
import {startDaemon} from './daemon.js';
import type {DiskPrograms} from './context.js';

interface Words {
  readonly home: string;
  readonly level: string;
}

function parseWords(): Words {
  try {
    const {values} = parseArgs({
      options: {home: {type: 'string'}, 'log-level': {type: 'string', default: 'info'}},
    });
    const home = values.home ?? process.env['MARS_HOME'] ?? HOME_DEFAULT;
    const level = values['log-level'];
    if (!Object.hasOwn(pino.levels.values, level)) {
      throw new Error(`--log-level takes ${Object.keys(pino.levels.values).join(', ')}`);
    }

    return {home: resolve(home), level};
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

async function main(): Promise<number> {
  const {home, level} = parseWords();
  // Written at once: the last lines before an end are those that are needed.
  const log = pino({level, base: {pid: process.pid}}, destination({dest: 1, sync: true}));
  const packageFile = new URL('../../package.json', import.meta.url);
  const {version} = JSON.parse(fs.readFileSync(packageFile, 'utf8')) as {version: string};
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
