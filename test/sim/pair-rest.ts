/** What several nodes come to, sooner or later. */
import type {PairJudge} from './pair-judge.js';
import type {PairNode} from './pair-node.js';

/** As facts tell everybody. */
export function advanceSlots(nodes: readonly PairNode[], judge: PairJudge): void {
  for (const node of nodes) {
    if (!node.isUp) continue;
    for (const other of nodes) {
      if (other === node) continue;
      const replayed = judge.replayedOf(other);
      node.slots.set(other.index, Math.max(node.slots.get(other.index) ?? 0, replayed));
    }

    node.shared.retain(node.retainFrom);
  }
}

/** Everybody is where the primary is, and nobody waits for an answer. */
export function isAtRest(
  nodes: readonly PairNode[],
  primary: PairNode | undefined,
  openCount: (node: PairNode) => number,
): boolean {
  if (primary?.serve === undefined || openCount(primary) > 0) return false;
  const end = primary.position;
  return nodes.every((node) => {
    return node.isUp && node.position === end && node.shared.replayed.get() === end;
  });
}
