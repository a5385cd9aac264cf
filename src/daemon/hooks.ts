/**
 * Executables of the administrator in `<home>/hooks/`, run before and after a role changes:
 *
 *   before-primary, before-secondary   whoever fails refuses the change: HOOK_FAILED with its output
 *   after-primary, after-secondary     a failure is shown and changes nothing
 *
 *   HOOK NAME     with MARS_* in the environment; the working directory is /, stdin is empty
 *
 * A hook has a process group of its own, and all of that is killed when its time is up. What cannot
 * be killed, as it waits for a disk that does not answer, is left behind: nobody waits for it.
 */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';
import {DiskError, errnoOf} from '../core/errors.js';
import type {Context} from './context.js';
import type {Places} from './places.js';

export const HOOKS = [
  'before-primary',
  'after-primary',
  'before-secondary',
  'after-secondary',
] as const;
export type Hook = (typeof HOOKS)[number];

/** The longest that a hook may take. */
export const HOOK_MS_MAX = 60_000;
const OUTPUT_CHARS_MAX = 16 * 1024;
const WORDS_CHARS_MAX = 600;
/** Writable for others than its owner. */
const MODE_SHARED = 0o022;

interface Outcome {
  readonly status: number | string;
  readonly output: string;
}

/**
 * Runs a hook, where there is one.
 *
 * @throws DiskError HOOK_FAILED where it cannot be run, ends with another status than 0, or not in time
 */
export async function runHook(
  context: Context,
  {name, places}: {readonly name: string; readonly places: Places},
  hook: Hook,
  timeoutMs: number,
): Promise<void> {
  const program = join(context.paths.home, 'hooks', hook);
  if (!isThere(program, name)) return;
  const limitMs = Math.max(1000, Math.min(HOOK_MS_MAX, timeoutMs));
  const env = {
    ...process.env,
    MARS_HOOK: hook,
    MARS_RESOURCE: name,
    MARS_NODE_NAME: context.node.name,
    MARS_HOME: context.paths.home,
    MARS_DEVICE: places.link,
    MARS_IMAGE: places.image,
    MARS_TIMEOUT_SECONDS: String(Math.floor(limitMs / 1000)),
  };
  const {status, output} = await runGroup(program, [name], env, limitMs).catch((error: unknown) => {
    throw failed(program, name, `it cannot be run: ${errnoOf(error) ?? String(error)}`);
  });
  context.log.info({resource: name, hook, status, output}, 'a hook has run');
  if (status === 0) return;
  const words = output.trim().slice(-WORDS_CHARS_MAX).replaceAll('\n', '; ');
  const said = words === '' ? 'it said nothing' : words;
  throw failed(
    program,
    name,
    `${typeof status === 'number' ? `status ${status}` : status}: ${said}`,
  );
}

function failed(program: string, name: string, why: string): DiskError {
  return new DiskError('HOOK_FAILED', `the hook ${program} for ${name}: ${why}`, {
    resource: name,
    hook: program,
  });
}

/** @throws DiskError HOOK_FAILED for one that others than root could have written */
function isThere(program: string, name: string): boolean {
  const stat = fs.statSync(program, {throwIfNoEntry: false});
  if (stat === undefined) return false;
  if (!stat.isFile() || (stat.mode & 0o111) === 0) {
    throw failed(program, name, 'it is no executable file: chmod +x, or remove it');
  }

  const isForeign = stat.uid !== 0 && stat.uid !== process.geteuid?.();
  if (!isForeign && (stat.mode & MODE_SHARED) === 0) return true;
  throw failed(program, name, 'others than root can write it: chown root, chmod go-w');
}

function runGroup(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  limitMs: number,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...{cwd: '/', env, detached: true},
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-OUTPUT_CHARS_MAX);
      });
    }

    const end = (status: number | string): void => {
      clearTimeout(timer);
      // What it left in the background does not outlive it, nor keep its output open.
      killGroup(child.pid);
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      resolve({status, output});
    };
    const timer = setTimeout(() => {
      end(`it did not end within ${Math.round(limitMs / 1000)} s and was killed`);
    }, limitMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('exit', (status, signal) => {
      // Its last words may still be in the pipe.
      setImmediate(() => {
        end(status ?? `killed by ${signal ?? 'a signal'}`);
      });
    });
  });
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left of it.
  }
}
