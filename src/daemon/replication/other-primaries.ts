/**
 * A second primary: both nodes serve the disk, and nothing was written on both yet, so that there is no fork to be
 * seen. It comes from force while the other side went on, such as a disk whose daemon was stopped. The one write
 * that follows makes two histories, so it is told before that.
 */
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import type {Candidate} from './choose-source.js';

/** A word that is older may be one from before a handover, or of a node that died. */
const FRESH_MS = 5000;
/** For so long it has to be so: longer than a node that died at the begin of it was fresh. */
const LASTS_MS = 6000;

/** Since when it is so. */
const since = new WeakMap<Resource, number>();

/**
 * Shows other nodes that are primary at the same time as this one. Called once a second.
 *
 * @param ageMs how old the last word of a node is
 */
export function noteOtherPrimaries(
  context: Context,
  resource: Resource,
  others: readonly Candidate[],
  ageMs: (nodeId: string) => number,
): void {
  const {name, messages, disk} = resource;
  const primaries = others.filter(
    ({nodeId, facts}) =>
      facts.role === 'primary' && facts.designatedRole === 'primary' && ageMs(nodeId) < FRESH_MS,
  );
  // A fork says more.
  const isForked = messages.some(({code}) => code === 'SPLIT_BRAIN');
  if (disk?.mode !== 'serve' || primaries.length === 0 || isForked) {
    since.delete(resource);
    resource.hush('TWO_PRIMARIES');
    return;
  }

  const nowMs = context.clock.monotonicMs();
  const sinceMs = since.get(resource) ?? nowMs;
  since.set(resource, sinceMs);
  if (nowMs - sinceMs < LASTS_MS) return;
  const text =
    `${primaries.map((one) => one.name).join(', ')} and this node are primary of ${name} at the same time: ` +
    `what is written on both makes two histories. On the one that is not to be: mars secondary ${name}`;
  if (!messages.some(({code}) => code === 'TWO_PRIMARIES')) {
    context.tell('TWO_PRIMARIES', 'critical', name, text);
  }

  resource.say('TWO_PRIMARIES', 'critical', text);
}
