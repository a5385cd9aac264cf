import {spawn} from 'node:child_process';

export interface RunResult {
  /** Exit status; null where a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Limit; at its end the program's process group is killed. Default 30 s. */
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly input?: string;
}

const TIMEOUT_MS_DEFAULT = 30_000;

/**
 * Runs a program to its end, whatever its status.
 *
 * @throws Error where it cannot be started, or does not end in time
 */
export function tryRun(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.on('error', () => undefined); // It may end without reading.
    child.stdin.end(options.input ?? '');
    const timer = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      child.unref();
      const words = [command, ...args].join(' ');
      reject(new Error(`${words}: no end within ${timeoutMs} ms\n${stdout}${stderr}`));
    }, timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      resolve({status, signal, stdout, stderr});
    });
  });
}

/**
 * Runs a program that must succeed.
 *
 * @returns its stdout
 * @throws Error with all that it printed where its status is not 0
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await tryRun(command, args, options);
  if (result.status === 0) return result.stdout;
  const end = result.signal ?? `status ${result.status ?? 'none'}`;
  throw new Error(
    `${[command, ...args].join(' ')}: ${end}\n${result.stdout.slice(-4000)}${result.stderr.slice(-4000)}`,
  );
}

/**
 * Asks again and again until `condition` holds; tests wait in no other way.
 *
 * @param what what is waited for, as the end of a sentence
 * @throws Error when the deadline has passed
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  deadlineMs: number,
  what: string,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`after ${deadlineMs} ms still no ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
