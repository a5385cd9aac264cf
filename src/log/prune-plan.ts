/**
 * Which files of a log directory may go, and why the others stay. Pure: whoever carries the plan out
 * looks again before each file (daemon/prune).
 *
 *   file                                        goes
 *   segment that ends at or below every need    as a spare: the log uses it again
 *   one of the last two segments                stays: they prove where the log ends
 *   segment whose place another has taken       stays: the next start of the disk judges it
 *   log-* with a torn header                    stays: its records may prove where the log ends
 *   spare, or one that was made ready           stays, up to `sparesKept` without a disk process
 */
import type {LogDirectory, SegmentFile, SpareFile} from './directory.js';
import {withoutSuperseded} from './recovery.js';

/** Segments at the end of the log that never go. */
const TAIL_SEGMENTS = 2;

/** Everything of the log at or above `position` is needed. */
export interface LogNeed {
  /** `replay`: the image lacks it. `slot`: a replica does. `copy`: the image is being copied. */
  readonly by: 'replay' | 'slot' | 'copy' | 'history';
  /** The replica's node; null where it is this one. */
  readonly node: string | null;
  readonly position: number;
  /** For people. */
  readonly text: string;
}

export interface PlannedFile {
  readonly file: string;
  /** `spare`: nothing of the log. `torn`: nobody can tell. `aside`: of no use to the log at all. */
  readonly kind: 'segment' | 'spare' | 'torn' | 'aside';
  readonly path: string;
  readonly bytes: number;
  /** Positions; null where it holds nothing of the log, the end also where the log goes on. */
  readonly start: number | null;
  readonly end: number | null;
  /** `spare`: to be used again. */
  readonly action: 'keep' | 'spare' | 'delete';
  readonly reason: string;
  readonly neededBy: readonly LogNeed[];
  /** What the file has to be still when its turn comes. */
  readonly segment?: SegmentFile;
}

export interface PruneInput {
  readonly listing: LogDirectory;
  readonly needs: readonly LogNeed[];
  /** A disk process runs: it uses again what is not needed, nobody else touches its files. */
  readonly hasDisk: boolean;
  /** Size of a spare that can be used. */
  readonly fileBytes: number;
  readonly sparesKept: number;
  readonly sizeOf: (path: string) => number;
}

/** The plan, segments first, oldest first. */
export function planPrune(input: PruneInput): PlannedFile[] {
  const {effective, superseded} = withoutSuperseded(input.listing.segments);
  const segments = effective.map((segment, index) => planSegment(input, effective, segment, index));
  const replaced = superseded.map((segment): PlannedFile => {
    const reason = 'another segment has taken its place: the next start of the disk judges it';
    return {...describe(segment, null), action: 'keep', reason, neededBy: []};
  });
  const freed = segments.filter(({action}) => action === 'spare').length;
  return [...segments, ...replaced, ...planSpares(input, freed)];
}

/** The lowest position that anybody needs; Infinity where nobody needs anything. */
export function lowestNeed(needs: readonly LogNeed[]): number {
  return Math.min(Infinity, ...needs.map(({position}) => position));
}

function planSegment(
  {needs, hasDisk}: PruneInput,
  effective: readonly SegmentFile[],
  segment: SegmentFile,
  index: number,
): PlannedFile {
  const end = effective[index + 1]?.header.start ?? null;
  const described = describe(segment, end);
  const neededBy = needs.filter(({position}) => end === null || position < end);
  if (index >= effective.length - TAIL_SEGMENTS) {
    const reason = end === null ? 'the log goes on here' : 'it proves where the next one begins';
    return {...described, action: 'keep', reason, neededBy};
  }

  if (neededBy.length > 0) {
    const reason = neededBy.map(({text}) => text).join('; ');
    return {...described, action: 'keep', reason, neededBy};
  }

  const reason = hasDisk
    ? 'nobody needs it: the disk process uses it again'
    : 'nobody needs it: the log uses it again';
  return {...described, action: 'spare', reason, neededBy};
}

function describe(
  segment: SegmentFile,
  end: number | null,
): Omit<PlannedFile, 'action' | 'reason' | 'neededBy'> {
  const {name, path, header, fileBytes} = segment;
  return {
    ...{file: name, kind: 'segment', path, bytes: fileBytes},
    ...{start: header.start, end, segment},
  };
}

function planSpares(input: PruneInput, freed: number): PlannedFile[] {
  let kept = freed;
  return input.listing.spares.map((spare): PlannedFile => {
    const bytes = input.sizeOf(spare.path);
    const {name, path, isUnreadable} = spare;
    const kind: PlannedFile['kind'] = isUnreadable ? 'torn' : 'spare';
    const rest = {
      ...{file: name, kind, path, bytes, start: null, end: null},
      neededBy: [],
    } as const;
    const reason = reasonToKeep(input, spare);
    if (reason !== undefined) return {...rest, action: 'keep', reason};
    const isUsable = bytes === input.fileBytes;
    if (isUsable && kept < input.sparesKept) {
      kept += 1;
      return {...rest, action: 'keep', reason: FREE};
    }

    const why = isUsable ? `there are ${input.sparesKept} others` : 'of a size not in use';
    return {...rest, action: 'delete', reason: why};
  });
}

const FREE = 'free: the log uses it again';

function reasonToKeep({hasDisk}: PruneInput, spare: SpareFile): string | undefined {
  if (spare.isUnreadable) return 'its header is torn: its records may prove where the log ends';
  if (spare.name.startsWith('log-')) return 'free: ready for the log to go on in';
  return hasDisk ? FREE : undefined;
}
