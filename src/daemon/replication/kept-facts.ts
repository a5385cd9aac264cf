/**
 * What this node tells of its replicas, without gathering it again while nothing can have changed: of
 * a disk that serves, everything but files that others write shows in what the resource knows.
 */
import type {FactStore, ResourceFacts} from '../../cluster/facts.js';
import type {Clock} from '../../core/clock.js';
import type {Replica} from './replica.js';

/** Files are looked at so often, whatever is known. */
const KEPT_MS = 5000;

interface Kept {
  readonly from: readonly unknown[];
  readonly atMs: number;
  readonly facts: ResourceFacts | undefined;
}

/** One per daemon. */
export class KeptFacts {
  readonly #clock: Clock;
  readonly #others: FactStore;
  readonly #kept = new WeakMap<Replica, Kept>();

  constructor(clock: Clock, others: FactStore) {
    this.#clock = clock;
    this.#others = others;
  }

  /** As Replica.facts. */
  of(replica: Replica): ResourceFacts | undefined {
    const {disk, lastDisk, operation, revision} = replica.resource;
    if (disk?.mode !== 'serve' || operation !== undefined) return replica.facts();
    const from = [revision, lastDisk, replica.verify.told, this.#others.revision];
    const atMs = this.#clock.monotonicMs();
    const known = this.#kept.get(replica);
    const isSame = known?.from.every((each, index) => each === from[index]) === true;
    if (isSame && atMs - known.atMs < KEPT_MS) return known.facts;
    const facts = replica.facts();
    this.#kept.set(replica, {from, atMs, facts});
    return facts;
  }
}
