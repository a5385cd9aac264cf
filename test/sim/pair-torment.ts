/** What happens to a node and its links, by chance or by its administrator. */
import type {PairNode} from './pair-node.js';
import type {PairRoles} from './pair-roles.js';
import type {PairAction} from './pair-script.js';
import type {PairWorld} from './pair-world.js';

export function torment(
  world: PairWorld,
  roles: PairRoles,
  node: PairNode,
  action: PairAction,
): void {
  const {links, statistics} = world;
  switch (action.kind) {
    case 'break':
    case 'cut': {
      if (action.kind === 'break') {
        world.broken.add(node);
        statistics.partitions += 1;
      }

      links.get(node)?.cut();
      links.delete(node);
      return;
    }

    case 'heal': {
      world.broken.delete(node);
      return;
    }

    case 'flip': {
      if (links.get(node)?.flip(world.random) === true) statistics.flips += 1;
      return;
    }

    case 'forge': {
      if (links.get(node)?.forge() === true) statistics.forged += 1;
      return;
    }

    case 'doom': {
      if (!node.isUp) return;
      node.doom = action.death;
      node.disk.crashAfter(action.calls);
      return;
    }

    case 'fault': {
      const {path, calls, fault, after, count} = action;
      node.disk.faults.add({path: new RegExp(path, 'u'), calls, kind: fault, after, count});
      return;
    }

    case 'mend': {
      node.disk.faults.clear();
      return;
    }

    default: {
      command(roles, node, action);
    }
  }
}

/** Deaths, returns, and what an administrator wants. */
function command(roles: PairRoles, node: PairNode, action: PairAction): void {
  if (action.kind === 'die') roles.kill(node, action.death, action.stays);
  else if (action.kind === 'return') roles.comeBack(node, action.blind);
  else if (action.kind === 'failover') {
    const {primary} = roles;
    if (primary !== undefined && primary !== node) roles.kill(primary, action.death, true);
    roles.force(node);
  } else if (action.kind === 'force') roles.force(node);
  else if (action.kind === 'handover') roles.handOver(node);
  else if (action.kind === 'resolve') roles.resolve(node);
}
