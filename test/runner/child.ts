import {spawn} from 'node:child_process';

export interface ChildResult {
  /** Exit status; null where a signal ended it. */
  readonly status: number | null;
  readonly timedOut: boolean;
  /** stdout and stderr as they came, the last OUTPUT_CHARACTERS_MAX of them. */
  readonly output: string;
  readonly seconds: number;
}

export interface ChildOptions {
  readonly seconds: number;
  readonly env?: NodeJS.ProcessEnv;
  /** Pass the output on while it comes. */
  readonly echo: boolean;
  /** Called when the limit is reached, before the kill: to look at what hangs. */
  readonly onTimeout?: (pid: number) => void;
}

const OUTPUT_CHARACTERS_MAX = 8 * 1024 * 1024;

/**
 * Runs a program in a process group of its own under a time limit; at the limit the group is
 * killed. Never throws: a program that cannot be started has status 127.
 */
export function runChild(
  command: string,
  args: readonly string[],
  options: ChildOptions,
): Promise<ChildResult> {
  return new Promise((resolve) => {
    const startedMs = performance.now();
    const child = spawn(command, args, {
      detached: true,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let timedOut = false;
    let grace: NodeJS.Timeout | undefined;
    const collect = (stream: NodeJS.WriteStream) => (chunk: string) => {
      output = (output + chunk).slice(-OUTPUT_CHARACTERS_MAX);
      if (options.echo) stream.write(stream.isTTY ? chunk : withoutColour(chunk));
    };
    child.stdout.setEncoding('utf8').on('data', collect(process.stdout));
    child.stderr.setEncoding('utf8').on('data', collect(process.stderr));

    const finish = (status: number | null): void => {
      clearTimeout(timer);
      clearTimeout(grace);
      process.off('exit', killNow);
      resolve({status, timedOut, output, seconds: (performance.now() - startedMs) / 1000});
    };
    const killNow = (): void => {
      killGroup(child.pid);
    };
    process.on('exit', killNow);
    const timer = setTimeout(() => {
      timedOut = true;
      if (child.pid !== undefined) options.onTimeout?.(child.pid);
      killGroup(child.pid);
      // A child in uninterruptible sleep, or a grandchild that holds the pipe, must not hold us.
      grace = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        child.unref();
        finish(null);
      }, 5000);
    }, options.seconds * 1000);

    child.once('error', (error) => {
      output += error.message;
      finish(127);
    });
    child.once('exit', (status) => {
      // What the test left running may hold the pipes open: give the rest of the output a moment.
      const late = setTimeout(() => {
        finish(status);
      }, 500);
      child.once('close', () => {
        clearTimeout(late);
        finish(status);
      });
    });
  });
}

/** uvu colours whatever it writes to, and a flag against it would reach the programs under test. */
export function withoutColour(text: string): string {
  return text.replaceAll(/\u001b\[[0-9;]*m/gu, '');
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}
