/**
 * The daemon's end of the stream on which a disk process hears what replicas confirm. It is open
 * while the wish is primary and the mode synchronous, and opened again when the disk process was
 * started again. Nothing is kept here that matters: followers say how far they are every second.
 */
import type {Duplex} from 'node:stream';
import {
  CONFIRM_ALIVE_MS,
  ConfirmReader,
  encodeConfirmLine,
  type ConfirmedLine,
  type WantLine,
} from '../../core/confirm-lines.js';
import {Wakeup} from './wakeup.js';

/** A disk process that is not there yet is looked for so often. */
const RETRY_MS = 250;
/** Where it is not wanted whoever wants it says so (`poke`). */
const UNWANTED_MS = 30_000;
/** A disk process that reads nothing is told no more meanwhile. */
const BACKLOG_BYTES_MAX = 64 * 1024;

export interface ConfirmLinkOptions {
  readonly isWanted: () => boolean;
  readonly open: () => Promise<Duplex>;
  readonly onWant: (want: WantLine) => void;
}

/** One per resource, for the life of the daemon. */
export class ConfirmLink {
  readonly #options: ConfirmLinkOptions;
  readonly #wakeup = new Wakeup();
  #socket: Duplex | undefined;

  constructor(options: ConfirmLinkOptions) {
    this.#options = options;
  }

  /** A replica has confirmed something. */
  send(line: Omit<ConfirmedLine, 'kind'>): void {
    const socket = this.#socket;
    if (socket === undefined || socket.writableLength > BACKLOG_BYTES_MAX) return;
    socket.write(encodeConfirmLine({kind: 'confirmed', ...line}));
  }

  /** A wish has changed. */
  poke(): void {
    this.#wakeup.wake();
  }

  /** Keeps the stream open as long as it is wanted. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const socket = this.#options.isWanted()
        ? await this.#options.open().catch(() => undefined)
        : undefined;
      if (socket !== undefined) await this.#talk(socket, signal);
      await this.#wakeup.wait(this.#options.isWanted() ? RETRY_MS : UNWANTED_MS, signal);
    }
  }

  /** Until the stream ends, or is not wanted any more. */
  async #talk(socket: Duplex, signal: AbortSignal): Promise<void> {
    const reader = new ConfirmReader();
    this.#socket = socket;
    const end = (): void => {
      socket.destroy();
    };
    const alive = setInterval(() => {
      if (this.#options.isWanted()) socket.write(encodeConfirmLine({kind: 'alive'}));
      else end();
    }, CONFIRM_ALIVE_MS);
    signal.addEventListener('abort', end);
    try {
      await new Promise<void>((resolve) => {
        socket.on('data', (chunk: Buffer) => {
          try {
            for (const line of reader.push(chunk)) {
              if (line.kind === 'want') this.#options.onWant(line);
            }
          } catch {
            // A disk process of another version: nothing is known of what it wants.
            end();
          }
        });
        socket.on('error', end).on('end', end);
        socket.once('close', () => {
          resolve();
        });
        if (signal.aborted || socket.destroyed) {
          end();
          resolve();
        }
      });
    } finally {
      clearInterval(alive);
      signal.removeEventListener('abort', end);
      this.#socket = undefined;
    }
  }
}
