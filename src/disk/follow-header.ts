/** Which segment of the source is which of ours, by their headers. Pure. */
import type {Chain} from '../log/record.js';
import type {SegmentHeader} from '../log/segment.js';

/**
 * The same segment, as far as it goes: ours or that of the source may begin later than the origin's,
 * and its number says only in which order the files of one directory count.
 */
export function isSame(ours: SegmentHeader, theirs: SegmentHeader): boolean {
  return isOfOne(ours, theirs) && endOf(ours) === endOf(theirs);
}

/**
 * An older segment of the same epoch. What the source has in it from where we are belongs into ours:
 * the origin has moved its tail to another file, or ended it earlier than it might have.
 */
export function isBefore(theirs: SegmentHeader, ours: SegmentHeader): boolean {
  return isOfOne(ours, theirs) && endOf(theirs) < endOf(ours);
}

/** What a segment is to us that we have from `position` on only, behind others with lower numbers. */
export function headerHere(
  origin: SegmentHeader,
  position: number,
  chain: Readonly<Chain>,
  last: SegmentHeader | undefined,
): SegmentHeader {
  // The origin may have moved a tail to a file with a higher number than the next primary knew of.
  const number = Math.max(origin.number, (last?.number ?? 0) + 1);
  if (origin.start === position && number === origin.number) return origin;
  return {...origin, number, start: position, chain, capacityBytes: endOf(origin) - position};
}

function isOfOne(ours: SegmentHeader, theirs: SegmentHeader): boolean {
  return ours.originId === theirs.originId && ours.epoch === theirs.epoch;
}

/** No record reaches beyond it. All segments of an epoch have room for as much. */
function endOf({start, capacityBytes}: SegmentHeader): number {
  return start + capacityBytes;
}
