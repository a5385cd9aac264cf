/**
 * What the synchronous modes promise: a flush that was answered while its mode was in force is with so
 * many replicas as the mode asks for, and none of those loses it when it becomes primary by force.
 */
import type {ModeSettings} from '../../src/core/mode.js';
import {formatPosition} from '../../src/core/position.js';
import {SimFailure} from './oracle.js';
import type {PathPiece} from './pair-history.js';
import type {PairNode} from './pair-node.js';

/** What a replica has confirmed of an epoch. */
interface Confirmed {
  received: number;
  durable: number;
}

interface Promised {
  readonly epoch: string;
  readonly position: number;
  /** Replicas of which each has to keep it. */
  readonly holders: Set<PairNode>;
}

export class PairPromises {
  readonly #confirmed = new Map<PairNode, Map<string, Confirmed>>();
  #promises: Promised[] = [];
  /** Flushes that were answered by a mode in force. */
  count = 0;

  noteAck(node: PairNode, epoch: string, received: number, durable: number): void {
    const byEpoch = this.#confirmed.get(node) ?? new Map<string, Confirmed>();
    const known = byEpoch.get(epoch) ?? {received: 0, durable: 0};
    known.received = Math.max(known.received, received);
    known.durable = Math.max(known.durable, Math.min(received, durable));
    byEpoch.set(epoch, known);
    this.#confirmed.set(node, byEpoch);
  }

  /** A flush was answered, and nothing durable says that this was done without replicas. */
  promise(epoch: string, position: number, {mode, syncReplicas}: ModeSettings): void {
    if (position === 0) return;
    const holders = new Set<PairNode>();
    for (const [node, byEpoch] of this.#confirmed) {
      const {received = 0, durable = 0} = byEpoch.get(epoch) ?? {};
      if ((mode === 'sync' ? durable : received) >= position) holders.add(node);
    }

    if (holders.size < syncReplicas) {
      throw new SimFailure(
        `a flush to ${formatPosition(position)} was answered in mode ${mode}, with ` +
          `${holders.size} of ${syncReplicas} replicas`,
      );
    }

    this.count += 1;
    this.#promises = this.#promises.filter((one) => one.epoch !== epoch || one.position > position);
    this.#promises.push({epoch, position, holders});
  }

  /** The node has lost what it received, or gave it up: from `position` on. */
  forget(node: PairNode, position = 0): void {
    for (const promise of this.#promises) {
      if (promise.position > position) promise.holders.delete(node);
    }

    for (const known of this.#confirmed.get(node)?.values() ?? []) {
      known.received = Math.min(known.received, position);
      known.durable = Math.min(known.durable, position);
    }
  }

  /** A node becomes primary by force with this history. */
  judge(node: PairNode, path: readonly PathPiece[]): void {
    for (const {epoch, position, holders} of this.#promises) {
      if (!holders.has(node)) continue;
      const has = path.find((piece) => piece.epoch === epoch)?.end ?? 0;
      if (has >= position) continue;
      throw new SimFailure(
        `${node.name} had confirmed a flush to ${formatPosition(position)}, and becomes primary ` +
          `with ${formatPosition(has)} of it`,
      );
    }
  }
}
