/**
 * Writes that wait for log space. The fuse thread goes on reading requests, so reads and flushes
 * of what was acknowledged are answered; parked writes are not acknowledged until they are in the
 * log. Bounded by what the kernel sends at once (max_background of 1 MiB each); beyond the bound
 * the caller waits.
 */
import {WRITE_HEADROOM_BYTES, WRITE_TAILROOM_BYTES} from '../fuse/handler.js';
import {MIB} from '../core/units.js';

const PARKED_BYTES_MAX = 80 * MIB;

export interface ParkedRequest {
  readonly kind: 'write' | 'discard' | 'zero';
  readonly offset: number;
  readonly length: number;
  /** With head- and tailroom around the payload; empty for discards. */
  readonly bytes: Buffer;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
}

/** Requests in the order in which they came, none of them acknowledged. */
export class ParkingLot {
  readonly #requests: ParkedRequest[] = [];
  #bytes = 0;

  get count(): number {
    return this.#requests.length;
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
    this.#requests.push({kind: 'write', offset, length, bytes, uniqueLow, uniqueHigh});
    this.#bytes += bytes.length;
  }

  park(request: ParkedRequest): void {
    this.#requests.push(request);
  }

  first(): ParkedRequest | undefined {
    return this.#requests[0];
  }

  dropFirst(): void {
    const request = this.#requests.shift();
    if (request !== undefined) this.#bytes -= request.bytes.length;
  }
}
