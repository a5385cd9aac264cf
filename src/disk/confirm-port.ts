/** The daemon's end of `POST /confirm` at a disk that serves: one stream counts, the newest. */
import type {Duplex} from 'node:stream';
import type {Clock} from '../core/clock.js';
import {
  CONFIRM_SILENCE_MS,
  ConfirmReader,
  encodeConfirmLine,
  type ConfirmedLine,
  type WantLine,
} from '../core/confirm-lines.js';

/** A daemon that does not read is told no more meanwhile. */
const BACKLOG_BYTES_MAX = 64 * 1024;

export interface ConfirmPortOptions {
  readonly clock: Clock;
  readonly onOpen: () => void;
  readonly onConfirmed: (line: ConfirmedLine) => void;
}

/** What the disk process hears of replicas, and asks them. */
export class ConfirmPort {
  readonly #options: ConfirmPortOptions;
  #socket: Duplex | undefined;
  #heardMs = 0;

  constructor(options: ConfirmPortOptions) {
    this.#options = options;
  }

  /** A daemon is connected, and not silent. */
  get isUp(): boolean {
    return this.#socket !== undefined;
  }

  /** Takes a stream in place of the one before. */
  open(socket: Duplex): void {
    this.#socket?.destroy();
    this.#socket = socket;
    this.#heardMs = this.#options.clock.monotonicMs();
    const reader = new ConfirmReader();
    socket.on('data', (chunk: Buffer) => {
      this.#take(socket, reader, chunk);
    });
    const leave = (): void => {
      this.#close(socket);
    };
    socket.on('error', leave).on('end', leave).on('close', leave);
    this.#options.onOpen();
  }

  /** @returns false where no daemon hears it */
  send(line: WantLine): boolean {
    const socket = this.#socket;
    if (socket === undefined || socket.writableLength > BACKLOG_BYTES_MAX) return false;
    socket.write(encodeConfirmLine(line));
    return true;
  }

  /** To be called now and then: a daemon that is silent is none. */
  step(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    if (this.#options.clock.monotonicMs() - this.#heardMs > CONFIRM_SILENCE_MS) this.#close(socket);
  }

  #take(socket: Duplex, reader: ConfirmReader, chunk: Buffer): void {
    if (socket !== this.#socket) return;
    this.#heardMs = this.#options.clock.monotonicMs();
    try {
      for (const line of reader.push(chunk)) {
        if (line.kind === 'confirmed') this.#options.onConfirmed(line);
      }
    } catch {
      // A daemon that speaks another language brings nothing; it may connect again.
      this.#close(socket);
    }
  }

  #close(socket: Duplex): void {
    socket.destroy();
    if (this.#socket === socket) this.#socket = undefined;
  }
}
