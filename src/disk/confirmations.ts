/** What replicas have confirmed of the history of one epoch, and up to where enough of them have. */
import type {ReplicationMode} from '../core/mode.js';

export interface Confirmation {
  /** Id and name of the node. */
  readonly node: string;
  readonly name: string;
  readonly received: number;
  readonly durable: number;
  /** When it was heard of, on the monotonic clock. */
  readonly heardMs: number;
}

/** By node; the last word of each counts. */
export class Confirmations {
  readonly #byNode = new Map<string, Confirmation>();

  note(confirmation: Confirmation): void {
    this.#byNode.set(confirmation.node, confirmation);
  }

  /** Another epoch: what was confirmed before is not known to be in its history. */
  clear(): void {
    this.#byNode.clear();
  }

  /** By name. */
  all(): Confirmation[] {
    return [...this.#byNode.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** Everything below the position is with at least `replicas` of them; 0 where that are too few. */
  confirmed(mode: ReplicationMode, replicas: number): number {
    const positions = [...this.#byNode.values()].map(({received, durable}) =>
      mode === 'sync' ? Math.min(received, durable) : received,
    );
    return positions.sort((left, right) => right - left)[replicas - 1] ?? 0;
  }
}
