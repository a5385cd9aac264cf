/**
 * Writes that wait for log space, or because they are slowed (disk/write-throttle). The fuse thread goes on reading requests, so reads and flushes
 * of what was acknowledged are answered; parked writes are not acknowledged until they are in the
 * log. Bounded by what the kernel sends at once (max_background of 1 MiB each); beyond the bound
 * the caller waits.
 */
import type {Clock} from '../core/clock.js';
import {WRITE_HEADROOM_BYTES, WRITE_TAILROOM_BYTES} from '../fuse/handler.js';
import {MIB} from '../core/units.js';
import type {Shared} from './shared.js';
import {WriteThrottle} from './write-throttle.js';

/** Result of an attempt that found no room in log, index or image: the request is parked. */
export const NO_ROOM = -2;

const PARKED_BYTES_MAX = 80 * MIB;
const NOTHING = Buffer.alloc(0);

export interface ParkedRequest {
  readonly kind: 'write' | 'discard' | 'zero';
  readonly offset: number;
  readonly length: number;
  /** With head- and tailroom around the payload; empty for discards. */
  readonly bytes: Buffer;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  /** When it was parked, by the monotonic clock. */
  readonly sinceMs: number;
}

/** Requests in the order in which they came, none of them acknowledged. */
export class ParkingLot {
  readonly #clock: Clock;
  readonly #throttle: WriteThrottle;
  readonly #requests: ParkedRequest[] = [];
  #bytes = 0;

  constructor(shared: Shared, clock: Clock) {
    this.#clock = clock;
    this.#throttle = new WriteThrottle(shared, clock);
  }

  get count(): number {
    return this.#requests.length;
  }

  /** A write that comes now has to be parked: others wait already, or writes are slowed. */
  get holdsBack(): boolean {
    return this.count > 0 || !this.#throttle.admits();
  }

  /** The same for writes that come together: while writes are slowed each is looked at by itself. */
  get holdsBatchesBack(): boolean {
    return this.count > 0 || this.#throttle.isOn;
  }

  /** Whether the first may go on now, as far as writes are slowed. */
  mayPass({kind, sinceMs}: ParkedRequest): boolean {
    return kind !== 'write' || this.#throttle.admits(sinceMs);
  }

  /** A write is in the log. */
  notePassed(length: number): void {
    this.#throttle.spend(length);
  }

  hasRoom(length: number): boolean {
    return this.#bytes + length <= PARKED_BYTES_MAX;
  }

  /** Copies a write out of the request buffer, which is used again at once. */
  parkWrite(
    offset: number,
    length: number,
    request: Buffer,
    payloadOffset: number,
    uniqueLow: number,
    uniqueHigh: number,
  ): void {
    const bytes = Buffer.alloc(WRITE_HEADROOM_BYTES + length + WRITE_TAILROOM_BYTES);
    request.copy(bytes, WRITE_HEADROOM_BYTES, payloadOffset, payloadOffset + length);
    this.#park({kind: 'write', offset, length, bytes, uniqueLow, uniqueHigh});
  }

  parkZero(
    kind: 'discard' | 'zero',
    offset: number,
    length: number,
    uniqueLow: number,
    uniqueHigh: number,
  ): void {
    this.#park({kind, offset, length, bytes: NOTHING, uniqueLow, uniqueHigh});
  }

  #park(request: Omit<ParkedRequest, 'sinceMs'>): void {
    this.#requests.push({...request, sinceMs: this.#clock.monotonicMs()});
    this.#bytes += request.bytes.length;
  }

  first(): ParkedRequest | undefined {
    return this.#requests[0];
  }

  dropFirst(): void {
    const request = this.#requests.shift();
    if (request !== undefined) this.#bytes -= request.bytes.length;
  }
}
