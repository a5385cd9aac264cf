/**
 * Small worlds of nodes with logs, and every way in which they come about: the real histories, by
 * which the answers about common points are judged. A record is one letter, that of its epoch: with
 * its place in the log it names its content, as only the origin of an epoch writes in it, once.
 */
import {formatPosition} from '../../src/core/position.js';
import type {LineageEntry} from '../../src/log/lineage.js';
import {
  findCommonPoint,
  type CommonPoint,
  type FollowerBranch,
} from '../../src/replica/common-point.js';

export interface Node {
  readonly log: string;
  /** What the image was made of: the log up to `to`, which may lie beyond the log after a sync. */
  readonly image: string;
  readonly lineage: readonly LineageEntry[];
  /** The letter of the epoch that it writes in. */
  readonly active: string;
}

export interface World {
  readonly nodes: readonly Node[];
  readonly epochs: number;
}

export interface Bounds {
  readonly nodes: number;
  readonly epochs: number;
  readonly records: number;
  readonly steps: number;
}

const RECORD_BYTES = 8;

export function positionOf(log: string): number {
  return log.length * RECORD_BYTES;
}

/** Node number `at` has this id. */
export function nodeId(at: number): string {
  return String(at).repeat(32);
}

export function ask(source: Node, follower: Node, at: number): CommonPoint {
  const branch: FollowerBranch = {
    lineage: follower.lineage,
    position: positionOf(follower.log),
    nodeId: nodeId(at),
    to: positionOf(follower.image),
  };
  return findCommonPoint({lineage: source.lineage, position: positionOf(source.log)}, branch);
}

/** Calls `look` for every world that some steps within the bounds lead to, once. */
export function eachWorld(bounds: Bounds, look: (world: World) => void): number {
  const fresh: Node = {log: '', image: '', lineage: [], active: ''};
  let worlds: World[] = [{nodes: Array.from({length: bounds.nodes}, () => fresh), epochs: 0}];
  const seen = new Set(worlds.map((world) => keyOf(world)));
  for (let step = 0; step <= bounds.steps; step += 1) {
    const next: World[] = [];
    for (const world of worlds) {
      look(world);
      if (step === bounds.steps) continue;
      for (const after of stepsFrom(world, bounds)) {
        const key = keyOf(after);
        if (seen.has(key)) continue;
        seen.add(key);
        next.push(after);
      }
    }

    worlds = next;
  }

  return seen.size;
}

function keyOf({nodes, epochs}: World): string {
  const words = nodes.map(({log, image, lineage, active}) => {
    const entries = lineage.map(({epoch, start}) => `${epoch.slice(-1)}${start.slice(-2)}`);
    return `${log}/${image}/${active}/${entries.join('')}`;
  });
  return `${epochs} ${words.join(' ')}`;
}

function* stepsFrom(world: World, bounds: Bounds): Generator<World> {
  for (const [at, node] of world.nodes.entries()) {
    const put = (changed: Partial<Node>): World => ({
      ...world,
      nodes: world.nodes.map((old, place) => (place === at ? {...old, ...changed} : old)),
    });
    const {log, image, lineage, active} = node;
    if (world.epochs < bounds.epochs && image.length <= log.length) {
      const letter = 'abc'[world.epochs] ?? '';
      const known = lineage.filter(({chain}) => chain.length <= log.length);
      const grown = [...known, entryOf(letter, at, log)];
      yield {...put({active: letter, lineage: grown}), epochs: world.epochs + 1};
    }

    if (active !== '' && log.length < bounds.records) yield put({log: log + active});
    if (image.length < log.length) yield put({image: log});
    // Power is lost: what was not durable is gone, the lineage is there.
    const oldest = Math.max(image.length, lineage[0]?.chain.length ?? 0);
    if (oldest < log.length) yield put({log: log.slice(0, -1), active: ''});
    // Entries in front are forgotten, where the log has gone beyond.
    const [, second] = lineage;
    if (second !== undefined && second.chain.length <= log.length) {
      yield put({lineage: lineage.slice(1)});
    }

    for (const [from, source] of world.nodes.entries()) {
      if (from === at || source.lineage.length === 0) continue;
      // A first copy: the image of the source, its log from somewhere below on.
      if (lineage.length === 0) {
        const oldest = source.lineage[0]?.chain.length ?? 0;
        for (let begin = oldest; begin <= source.image.length; begin += 1) {
          const begun = source.log.slice(0, begin);
          yield put({image: source.image, log: begun, lineage: source.lineage});
        }
      }

      for (const changed of fetchFrom(source, node, at)) yield put(changed);
    }
  }
}

function entryOf(letter: string, at: number, log: string): LineageEntry {
  const start = formatPosition(positionOf(log));
  return {epoch: letter.repeat(32), node: nodeId(at), nodeName: 'x', start, chain: log};
}

/** What a follower does with the answer: it cuts, and takes one record, or all. */
function fetchFrom(source: Node, follower: Node, at: number): Partial<Node>[] {
  const answer = ask(source, follower, at);
  if (answer.kind !== 'follow' && answer.kind !== 'cut') return [];
  const start = formatPosition(answer.position);
  const lineage =
    answer.kind === 'cut'
      ? follower.lineage.filter((entry, index) => index === 0 || entry.start < start)
      : follower.lineage;
  const log = follower.log.slice(0, answer.position / RECORD_BYTES);
  const cut: Node = {...follower, log, lineage, active: ''};
  if (source.log.length <= log.length) return [cut];
  const one = receive(source, cut, at, log.length + 1);
  return [cut, one, receive(source, cut, at, source.log.length)];
}

function receive(source: Node, follower: Node, at: number, length: number): Node {
  const log = source.log.slice(0, length);
  let {lineage} = follower;
  for (const letter of log.slice(follower.log.length)) {
    if (lineage.some(({epoch}) => epoch.startsWith(letter))) continue;
    const known = source.lineage.findIndex(({epoch}) => epoch.startsWith(letter));
    const last = lineage.at(-1)?.epoch;
    const behind = source.lineage.findIndex(({epoch}) => epoch === last) + 1;
    // Every other node has never heard of epochs in which nothing was written.
    const from = at % 2 === 0 ? known : behind;
    lineage = [...lineage, ...source.lineage.slice(from, known + 1)];
  }

  return {...follower, log, lineage};
}
