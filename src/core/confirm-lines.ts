/**
 * What disk process and daemon tell each other while flushes wait for replicas (`POST /confirm` of
 * a disk that serves): lines of JSON, positions as fixed-width hex. Either side may end the stream
 * at any time; nothing is lost then but time, as what a line says is said again.
 *
 *   disk process -> daemon   WantLine       a flush waits for this, or the disk wants to know how
 *                                           far the replicas are; with where its log ends now
 *   daemon -> disk process   ConfirmedLine  a replica has this much of the history of this epoch
 *                            AliveLine      once a second: the daemon is there
 */
import {isObject} from './json-file.js';
import {parsePosition} from './position.js';

export const CONFIRM_PROTOCOL = 'mars-confirm/1';
/** The daemon says so often that it is there; without a word for CONFIRM_SILENCE_MS it is not. */
export const CONFIRM_ALIVE_MS = 1000;
export const CONFIRM_SILENCE_MS = 5000;
const LINE_BYTES_MAX = 4096;

export interface WantLine {
  readonly kind: 'want';
  /** Replicas are to confirm everything below it. */
  readonly position: string;
  /** On stable storage, not in memory only. */
  readonly durably: boolean;
  /** Where the log of the disk is, all at one moment. */
  readonly epoch: string;
  readonly appended: string;
  readonly durable: string;
}

export interface ConfirmedLine {
  readonly kind: 'confirmed';
  /** Id and name of the node with the replica. */
  readonly node: string;
  readonly name: string;
  /** Of whose history the positions are. */
  readonly epoch: string;
  readonly received: string;
  readonly durable: string;
}

export interface AliveLine {
  readonly kind: 'alive';
}

export type ConfirmLine = WantLine | ConfirmedLine | AliveLine;

const KEYS: Readonly<Record<ConfirmLine['kind'], readonly string[]>> = {
  want: ['position', 'epoch', 'appended', 'durable'],
  confirmed: ['node', 'name', 'epoch', 'received', 'durable'],
  alive: [],
};
const POSITIONS: readonly string[] = ['position', 'appended', 'durable', 'received'];

/** Makes lines out of chunks. One that is none, or endless, is an Error: the stream is of no use. */
export class ConfirmReader {
  #rest = '';

  /** @throws Error where a line is not valid */
  push(chunk: Buffer): ConfirmLine[] {
    const parts = (this.#rest + chunk.toString('utf8')).split('\n');
    this.#rest = parts.pop() ?? '';
    if (this.#rest.length > LINE_BYTES_MAX) throw new Error('a line without an end');
    return parts.map(parseLine);
  }
}

/** One line of the exchange, with its end. */
export function encodeConfirmLine(line: ConfirmLine): string {
  return `${JSON.stringify(line)}\n`;
}

function parseLine(text: string): ConfirmLine {
  const line: unknown = JSON.parse(text);
  const kind = isObject(line) ? line['kind'] : undefined;
  if (!isObject(line) || typeof kind !== 'string' || !Object.hasOwn(KEYS, kind)) {
    throw new Error('a line of an unknown kind');
  }

  for (const key of KEYS[kind as ConfirmLine['kind']]) {
    const value = line[key];
    const isValid = typeof value === 'string';
    if (!isValid || (POSITIONS.includes(key) && parsePosition(value) === undefined)) {
      throw new Error(`a line ${kind} without "${key}"`);
    }
  }

  return line as unknown as ConfirmLine;
}
