/** The deliberate bugs of mutations.ts that only several nodes can show. */
import type {Mutation} from './mutation-list.js';

export const PAIR_MUTATIONS: readonly Mutation[] = [
  {
    name: 'ack-before-durable',
    what: 'a follower tells as durable what it has only written',
    file: 'disk/follow-stream.ts',
    find: 'durable: shared.durable.get(),',
    replace: 'durable: log.position,',
  },
  {
    name: 'replay-above-origin',
    what: 'a follower replays what its origin could still lose',
    file: 'disk/shared.ts',
    find: 'return Math.min(durable, this.originDurable.get());',
    replace: 'return durable;',
  },
  {
    name: 'mark-of-appended',
    what: 'a stream tells as durable at its origin what a lost branch has',
    file: 'disk/follow-log.ts',
    find: 'this.#isOpen = false;\n    this.#limitOriginDurable(this.#position);',
    replace: 'this.#isOpen = false;',
  },
  {
    name: 'to-ignored',
    what: 'a log is cut though the image holds blocks from behind',
    file: 'replica/common-point.ts',
    find: "if (to > cut) return {kind: 'forked', position: cut, code: 'ORIGIN_LOST_DATA'};",
    replace: '',
  },
  {
    name: 'own-records-cut',
    what: 'what a node wrote itself is cut like what it has received',
    file: 'replica/common-point.ts',
    find: 'if (position > end && common.node === follower.nodeId)',
    replace: 'if (position < 0)',
  },
  {
    name: 'cut-too-far',
    what: 'a cut gives up the whole segment, below what is in the image',
    file: 'disk/follow-log.ts',
    find: 'this.#cutLocked(to, chain);',
    replace: 'this.#cutLocked(this.#segments.at(-1)?.header.start ?? to);',
  },
  {
    name: 'cut-not-zeroed',
    what: 'what a cut gives up comes back in the next life',
    file: 'disk/follow-log.ts',
    find: 'zeroBehind(this.#files, {path, header: last.header}, to);',
    replace: 'assert(path !== "", "a path");',
  },
  {
    name: 'lineage-after-segment',
    what: 'a new epoch of another node does not get into the lineage',
    file: 'disk/follow-log.ts',
    find: 'if (lineage !== this.#lineage && !gives) this.#takeLineage(lineage);',
    replace: 'if (lineage !== this.#lineage) this.#lineage = lineage;',
  },
  {
    name: 'place-of-empty-log',
    what: 'a cut at the first segment leaves a log of no known epoch',
    file: 'disk/follow-log.ts',
    find: 'lineageBefore(this.#lineage, formatPosition(to), kept)',
    replace: 'lineageBefore(this.#lineage, formatPosition(to), kept && undefined)',
  },
  {
    name: 'retain-ignored',
    what: 'a segment is used again though a follower needs it',
    file: 'disk/keeper.ts',
    find: 'if (end > shared.retainFrom) this.#retained.push(segment);',
    replace: 'if (end < 0) this.#retained.push(segment);',
  },
  {
    name: 'chain-not-checked',
    what: 'a follower takes records of any chain value',
    file: 'disk/follow-check.ts',
    find: 'if (record.chainLow !== chain.low || record.chainHigh !== chain.high) {',
    replace: 'if (record.chainLow < 0) {',
  },
  {
    name: 'epoch-not-confirmed',
    what: 'a source tells of a new epoch without a look whether its log goes on from there',
    file: 'replica/log-source.ts',
    find: 'if (!this.isOn(end) && !this.#confirm(end)) return undefined;',
    replace: 'this.#epoch = end.epoch;',
  },
];
