import {spawn} from 'node:child_process';

/**
 * Wakes the fuse thread out of its blocking read: a spawned `stat` of a name that does not exist.
 *
 * It must be another process with descriptors 0 to 2 only: it may hang for as long as nobody
 * answers, and a thread of ours that hangs there could not be killed (request_wait_answer), so that
 * the holder would wait for this process for ever.
 */
export class Bell {
  readonly #mount: string;
  #ringing = false;
  #again = false;
  #count = 0;

  constructor(mount: string) {
    this.#mount = mount;
  }

  /** At most one bell rings at a time; a second ring follows if it is asked for meanwhile. */
  ring(): void {
    if (this.#ringing) {
      this.#again = true;
      return;
    }

    this.#ringing = true;
    this.#count += 1;
    const child = spawn('stat', [`${this.#mount}/.bell-${process.pid}-${this.#count}`], {
      stdio: 'ignore',
      detached: true,
    });
    const done = (): void => {
      this.#ringing = false;
      if (!this.#again) return;
      this.#again = false;
      this.ring();
    };
    child.once('error', done);
    child.once('exit', done);
    child.unref();
  }
}
