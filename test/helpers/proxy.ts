/**
 * A TCP proxy that is a bad network for a test: slow, cut, half-open, or wrong in one byte. It has
 * a port of its own on 127.0.0.1 for all its life, so that the address of a peer never changes.
 *
 *   open       what comes is passed on, after the delay and at the rate that are set
 *   cut        connections are reset, new ones at once
 *   half-open  new connections are accepted, nothing is passed on any more, and nobody is told.
 *              With the next state these connections are reset: bytes are missing in them.
 */
import net from 'node:net';

/** `there`: from who connected to the proxy to its target; `back`: the other way. */
export type Direction = 'there' | 'back';

export type LinkState = 'open' | 'cut' | 'half-open';

export interface ProxyStatistics {
  /** Connections that were accepted and led to the target. */
  readonly connections: number;
  /** Connections that were accepted while the link was cut or half-open. */
  readonly lost: number;
  /** Connections that are there now. */
  readonly open: number;
  /** Bytes passed on. */
  readonly there: number;
  readonly back: number;
  /** Bytes that a half-open link took and did not pass on. */
  readonly swallowed: number;
  /** Bytes that were taken and not passed on yet, both ways. */
  readonly held: number;
  readonly flipped: number;
}

/** One write to the other side: small, so that a low rate is smooth. */
const PIECE_BYTES = 16 * 1024;
const PIECE_MS = 5;

/**
 * What a direction of a connection may hold back besides what is on its way over the wire: a network
 * has that little memory, too.
 */
const HELD_BYTES_MAX = 1024 * 1024;

interface Pair {
  readonly client: net.Socket;
  readonly target: net.Socket | undefined;
}

interface Lane {
  passed: number;
  /** When the link has sent what it was given so far, as performance.now(). */
  freeAtMs: number;
  /** Flips the byte that is that far ahead. */
  flipAt: number | undefined;
}

export class Proxy {
  /** Milliseconds each way. */
  delayMs = 0;
  /** Each way, all connections together; 0: no limit. */
  bytesPerSecond = 0;
  readonly #target: {readonly host: string; readonly port: number};
  readonly #server: net.Server;
  readonly #pairs = new Set<Pair>();
  readonly #lanes: Readonly<Record<Direction, Lane>> = {
    there: {passed: 0, freeAtMs: 0, flipAt: undefined},
    back: {passed: 0, freeAtMs: 0, flipAt: undefined},
  };
  #state: LinkState = 'open';
  #connections = 0;
  #lost = 0;
  #swallowed = 0;
  #held = 0;
  #flipped = 0;

  private constructor(target: {readonly host: string; readonly port: number}) {
    this.#target = target;
    this.#server = net.createServer({allowHalfOpen: true}, (client) => {
      this.#accept(client);
    });
  }

  /** Listens on a free port of 127.0.0.1; the target need not listen yet. */
  static async create(targetPort: number, host = '127.0.0.1'): Promise<Proxy> {
    const proxy = new Proxy({host, port: targetPort});
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed');
    return address.port;
  }

  /** As a peer writes it: `127.0.0.1:4711`. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get state(): LinkState {
    return this.#state;
  }

  statistics(): ProxyStatistics {
    return {
      connections: this.#connections,
      lost: this.#lost,
      open: this.#pairs.size,
      there: this.#lanes.there.passed,
      back: this.#lanes.back.passed,
      swallowed: this.#swallowed,
      held: this.#held,
      flipped: this.#flipped,
    };
  }

  /** Takes effect at once, for the connections that are there as well. */
  set(state: LinkState): void {
    const before = this.#state;
    this.#state = state;
    if (state === 'cut' || (before === 'half-open' && state === 'open')) this.reset();
  }

  /** Resets the connections that are there; new ones are as the state says. */
  reset(): void {
    for (const {client, target} of this.#pairs) {
      client.resetAndDestroy();
      target?.resetAndDestroy();
    }
  }

  /** Flips a bit in the byte that comes after `bytes` more in a direction, whatever connection. */
  flip(direction: Direction, bytes: number): void {
    this.#lanes[direction].flipAt = bytes;
  }

  /** Ends all: no port, no connection, no timer is left. */
  async close(): Promise<void> {
    this.reset();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: net.Socket): void {
    client.on('error', () => undefined); // The close that follows says all that is to be known.
    if (this.#state !== 'open') {
      this.#lost += 1;
      if (this.#state === 'cut') client.resetAndDestroy();
      else this.#swallow(client);
      return;
    }

    this.#connections += 1;
    const target = net.connect({...this.#target, allowHalfOpen: true});
    target.on('error', () => undefined);
    const pair = {client, target};
    this.#pairs.add(pair);
    const ended = (): void => {
      this.#pairs.delete(pair);
      client.resetAndDestroy();
      target.resetAndDestroy();
    };
    client.setNoDelay(true);
    target.setNoDelay(true);
    this.#pass(client, target, 'there', ended);
    this.#pass(target, client, 'back', ended);
  }

  #swallow(client: net.Socket): void {
    const pair = {client, target: undefined};
    this.#pairs.add(pair);
    client.on('data', (bytes: Buffer) => (this.#swallowed += bytes.length));
    client.once('close', () => this.#pairs.delete(pair));
  }

  /** Passes on what one socket reads to the other, in order, each piece at its time. */
  #pass(from: net.Socket, to: net.Socket, direction: Direction, ended: () => void): void {
    const lane = this.#lanes[direction];
    const held: {bytes: Buffer; dueMs: number}[] = [];
    let heldBytes = 0;
    let finished = false;
    let timer: NodeJS.Timeout | undefined;
    const send = (): void => {
      timer = undefined;
      passDue();
      // Also while the rest is on its way: a wire that runs empty first is half as wide.
      if (heldBytes < this.heldBytesMax - HELD_BYTES_MAX / 2) from.resume();
      if (finished && held.length === 0 && this.#state === 'open') to.end();
    };
    const passDue = (): void => {
      for (let next = held[0]; next !== undefined && !to.destroyed; next = held[0]) {
        const waitMs = next.dueMs - performance.now();
        if (waitMs > 0) {
          timer = setTimeout(send, waitMs);
          return;
        }

        if (to.writableNeedDrain) return; // The drain below goes on.
        held.shift();
        heldBytes -= next.bytes.length;
        this.#held -= next.bytes.length;
        if (this.#state === 'half-open') {
          this.#swallowed += next.bytes.length;
        } else {
          this.#flip(lane, next.bytes);
          lane.passed += next.bytes.length;
          to.write(next.bytes);
        }
      }
    };
    from.on('data', (data: Buffer) => {
      // Without delay and rate a piece is as large as it came: a proxy must not cost a core.
      // No piece takes less than a timer can wait: else the timer would be the limit.
      const least = Math.max(PIECE_BYTES, (this.bytesPerSecond * PIECE_MS) / 1000);
      const size = this.bytesPerSecond > 0 ? Math.trunc(least) : data.length;
      for (let start = 0; start < data.length; start += size) {
        const bytes = data.subarray(start, start + size);
        held.push({bytes, dueMs: this.#due(lane, bytes.length)});
        heldBytes += bytes.length;
        this.#held += bytes.length;
      }

      if (heldBytes >= this.heldBytesMax) from.pause();
      if (timer === undefined) send();
    });
    to.on('drain', () => {
      if (timer === undefined) send();
    });
    from.once('end', () => {
      finished = true;
      if (timer === undefined) send();
    });
    from.once('close', (hadError) => {
      // An orderly end is passed on by send(), after what is still held.
      if (!finished || hadError || to.destroyed) {
        clearTimeout(timer);
        if (this.#state !== 'half-open') ended();
      }

      if (from.destroyed && to.destroyed) ended();
    });
  }

  /**
   * How much a direction of a connection takes before it waits. A long wire holds much: without that a
   * delay would be a limit of its own.
   */
  get heldBytesMax(): number {
    return HELD_BYTES_MAX + (this.bytesPerSecond * this.delayMs) / 1000;
  }

  #due(lane: Lane, bytes: number): number {
    const now = performance.now();
    if (this.bytesPerSecond === 0) return now + this.delayMs;
    lane.freeAtMs = Math.max(lane.freeAtMs, now) + (bytes / this.bytesPerSecond) * 1000;
    return lane.freeAtMs + this.delayMs;
  }

  #flip(lane: Lane, bytes: Buffer): void {
    if (lane.flipAt === undefined) return;
    if (lane.flipAt >= bytes.length) {
      lane.flipAt -= bytes.length;
      return;
    }

    bytes[lane.flipAt] = (bytes[lane.flipAt] ?? 0) ^ 0x10;
    lane.flipAt = undefined;
    this.#flipped += 1;
  }
}
