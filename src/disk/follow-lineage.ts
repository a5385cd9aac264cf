/** Which epochs a log has, as segments of others come in and branches are cut. */
import {protocolError} from '../log/frames.js';
import type {LineageEntry} from '../log/lineage.js';
import {formatChain} from '../log/record.js';
import type {SegmentHeader} from '../log/segment.js';
import {formatPosition} from '../core/position.js';

/**
 * The lineage with the epoch of a segment that begins, or goes on, at `position`.
 *
 * @param source the lineage of the source: it names epochs in which nothing was written as well
 * @returns `ours` itself where the epoch is known
 * @throws DiskError PEER_PROTOCOL where it cannot follow on ours
 */
export function extendLineage(
  ours: readonly LineageEntry[],
  source: readonly LineageEntry[],
  header: SegmentHeader,
  position: string,
): readonly LineageEntry[] {
  const last = ours.at(-1);
  if (last?.epoch === header.epoch) return ours;
  const at = ours.findIndex(({epoch}) => epoch === header.epoch);
  if (at >= 0) {
    // The end of our log was lost below where that epoch ends: what is missing comes once more.
    if (position < (ours[at + 1]?.start ?? '')) return ours;
    // Later ones in which nothing was written give way: the source has none of them.
    if (ours.slice(at + 1).every(({start}) => start >= position)) return ours.slice(0, at + 1);
    throw protocolError('a SEGMENT of an epoch that has ended');
  }

  const known = source.findIndex(({epoch}) => epoch === header.epoch);
  const from = source.findIndex(({epoch}) => epoch === last?.epoch) + 1;
  // Where ours has an empty epoch that the source never had, older ones are known to both.
  const isNew = ({epoch}: LineageEntry): boolean => ours.every((entry) => entry.epoch !== epoch);
  const between = source.slice(from, known + 1).filter((entry) => isNew(entry));
  if (last === undefined && between.length > 0) return between;
  const chain = formatChain(header.chain);
  const joins = between.every((entry) => entry.start === position && entry.chain === chain);
  if (between.length > 0 && joins) return [...ours, ...between];
  if (formatPosition(header.epochStart) !== position || header.start !== header.epochStart) {
    throw protocolError('a SEGMENT of an epoch that began elsewhere');
  }

  const entry: LineageEntry = {
    epoch: header.epoch,
    node: header.originId,
    nodeName: header.originName,
    start: position,
    chain,
  };
  return [...ours, entry];
}

/**
 * The lineage of a log that is cut at `position`: the first entry stays whatever happens.
 *
 * @param kept epoch of a segment that stays although it begins at `position`: nothing is in front of
 *   it any more, and a log whose only segment is of no known epoch would be none
 */
export function lineageBefore(
  ours: readonly LineageEntry[],
  position: string,
  kept?: string,
): readonly LineageEntry[] {
  const last = Math.max(
    0,
    ours.findIndex(({epoch}) => epoch === kept),
  );
  return ours.filter(({start}, index) => index <= last || start < position);
}
