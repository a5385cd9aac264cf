import {spawn, type ChildProcess} from 'node:child_process';

/**
 * Wakes the fuse thread out of its blocking read: a `stat` of a name that does not exist.
 *
 * It must be another process with descriptors 0 to 2 only: it may hang for as long as nobody
 * answers, and a thread of ours that hangs there could not be killed (request_wait_answer), so that
 * the holder would wait for this process for ever.
 *
 * A small shell, started once, starts the `stat` for each ring. Were it started from here, every
 * ring would copy the page tables of this process and leave its request buffer copy-on-write: a
 * SIGKILL while the kernel copies a request into such a page ends that request with EIO.
 */
export class Bell {
  readonly #mount: string;
  #shell: ChildProcess | undefined;
  #ringing = false;
  #again = false;
  #count = 0;

  constructor(mount: string) {
    this.#mount = mount;
  }

  /** Starts the shell ahead of the first ring. */
  prepare(): void {
    this.#shell ??= this.#start();
  }

  /** At most one bell rings at a time; a second ring follows if it is asked for meanwhile. */
  ring(): void {
    if (this.#ringing) {
      this.#again = true;
      return;
    }

    this.prepare();
    this.#ringing = true;
    this.#count += 1;
    this.#shell?.stdin?.write(`${process.pid}-${this.#count}\n`);
  }

  #done(): void {
    this.#ringing = false;
    if (!this.#again) return;
    this.#again = false;
    this.ring();
  }

  #start(): ChildProcess {
    const shell = spawn('sh', ['-c', PROGRAM, 'mars-bell', this.#mount], {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    });
    shell.stdout.on('data', () => {
      this.#done();
    });
    // It is gone: the next ring starts another.
    const gone = (): void => {
      if (this.#shell !== shell) return;
      this.#shell = undefined;
      this.#done();
    };
    shell.once('error', gone);
    shell.once('exit', gone);
    shell.stdin.on('error', gone);
    shell.unref();
    return shell;
  }
}

// The shell ends with its input, when the disk process does. A bell that hangs is left to itself,
// and to init: it answers as soon as somebody serves the mount.
const PROGRAM = `
while read -r name; do
  ( ( stat "$1/.bell-$name" </dev/null >/dev/null 2>&1; echo ) & )
done
`;
