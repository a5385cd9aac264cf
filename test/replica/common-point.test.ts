import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {LineageEntry} from '../../src/log/lineage.js';
import type {CommonPoint} from '../../src/replica/common-point.js';
import {ask, eachWorld, nodeId, positionOf, type Bounds, type Node} from './histories.js';

function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length += 1;
  return length;
}

/** Whether an entry of the same epoch, begun at the same place, is among them. */
function isKnown(lineage: readonly LineageEntry[], entry: LineageEntry): boolean {
  return lineage.some(({epoch, chain}) => epoch === entry.epoch && chain === entry.chain);
}

/** Whether an entry is that of the epoch in which a record was written. */
function isOf(letter: string): (entry: LineageEntry) => boolean {
  return ({epoch}) => epoch.startsWith(letter);
}

/** What is wrong with an answer, by what the nodes really hold; undefined for nothing. */
function judge(source: Node, follower: Node, at: number, answer: CommonPoint): string | undefined {
  const common = commonLength(source.log, follower.log);
  const bytes = common * 8;
  const isPrefix = common === follower.log.length;
  const fits = source.log.startsWith(follower.image);
  const last = follower.lineage.at(-1);
  const joins = last !== undefined && isKnown(source.lineage, last);
  if (isPrefix && fits && joins && last.start <= position(source.log) && answer.kind !== 'follow') {
    return 'it could follow as it is';
  }

  const dropped = follower.log.slice(common);
  const own = Array.from(dropped).some((letter) =>
    follower.lineage.some((entry) => isOf(letter)(entry) && entry.node === nodeId(at)),
  );
  switch (answer.kind) {
    case 'follow':
      if (!isPrefix || answer.position !== positionOf(follower.log)) return 'the logs differ';
      return fits ? undefined : 'the image is of another history';
    case 'cut':
      if (answer.position !== bytes) return 'that is not where they part';
      if (follower.image.length > common) return 'the image has more';
      if (!source.log.startsWith(follower.image)) return 'the image is of another history';
      return own ? 'it drops what the follower wrote' : undefined;
    case 'behind':
      if (common === source.log.length) return undefined;
      return follower.image.length > source.log.length ? undefined : 'the source has more';
    case 'forked':
      if (answer.code !== undefined) {
        return positionOf(follower.image) > answer.position ? undefined : 'nothing was lost';
      }

      if (answer.position !== bytes) return 'that is not where they part';
      // It may have ended the epoch of what the follower has more, but knows no other records.
      if (common === source.log.length && !source.lineage.some(isOf(dropped[0] ?? ''))) {
        return 'the source has nothing of its own';
      }

      return common < follower.log.length ? undefined : 'the follower has nothing of its own';
    case 'unknown': {
      const shared = follower.lineage.some((entry) => isKnown(source.lineage, entry));
      const lost = source.lineage.some(({start}) => start > position(source.log));
      return shared && !lost ? 'they share an epoch' : undefined;
    }
  }
}

function position(log: string): string {
  return positionOf(log).toString(16).padStart(16, '0');
}

const ALL: readonly Bounds[] = [
  {nodes: 2, epochs: 3, records: 4, steps: 12},
  {nodes: 3, epochs: 3, records: 3, steps: 8},
];

for (const bounds of ALL) {
  const {nodes, epochs, steps} = bounds;
  test(`every answer is right in each history of ${nodes} nodes, ${epochs} epochs, ${steps} steps`, () => {
    const counts: Record<string, number> = {};
    const worlds = eachWorld(bounds, (world) => {
      for (const [from, source] of world.nodes.entries()) {
        for (const [at, follower] of world.nodes.entries()) {
          if (from === at) continue;
          const answer = ask(source, follower, at);
          const fault = judge(source, follower, at, answer);
          const kind = 'code' in answer ? 'lost' : answer.kind;
          counts[kind] = (counts[kind] ?? 0) + 1;
          if (fault === undefined) continue;
          const words = JSON.stringify({source, follower, at, answer}, undefined, 1);
          assert.unreachable(`${fault}: ${words}`);
        }
      }
    });
    assert.ok(worlds > 10_000, `${worlds} worlds`);
    for (const kind of ['follow', 'cut', 'forked', 'lost', 'behind', 'unknown']) {
      assert.ok((counts[kind] ?? 0) > 100, `${kind}: ${counts[kind] ?? 0}`);
    }
  });
}

test.run();
