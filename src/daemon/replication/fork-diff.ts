/**
 * Which parts of a disk differ between the histories of a fork: each side tells what its log behind
 * the common point has written (`POST resources/ID/changes`), and this puts them together. No
 * content is compared: what both sides wrote may by chance be the same.
 */
import * as v from 'valibot';
import type {ForkChanges, ForkDiff, ForkLoss, ForkRange} from '../../control/fork-api.js';
import {check} from '../../core/check.js';
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {
  bytesIn,
  CHANGED_RANGES_MAX,
  mergeRanges,
  readChanges,
  type ByteRange,
  type Changes,
} from '../../log/changes.js';
import {readLogDirectory} from '../../log/directory.js';
import {positionSchema} from '../../log/lineage.js';
import {withoutSuperseded} from '../../log/recovery.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {partingPoint} from './right.js';
import type {KnownReplica} from './role-services.js';
import {standingOf} from './standing.js';

/** A branch of gigabytes is read by its node. */
const ASK_TIMEOUT_MS = 60_000;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const REQUEST = v.looseObject({from: positionSchema});
const ANSWER = v.looseObject({
  from: positionSchema,
  to: positionSchema,
  records: count,
  writtenBytes: count,
  ranges: v.pipe(v.array(v.tuple([count, count])), v.maxLength(CHANGED_RANGES_MAX)),
  complete: v.boolean(),
  exact: v.boolean(),
  firstTime: v.nullable(v.string()),
  lastTime: v.nullable(v.string()),
});

/** What a node answers: ranges are offset and length. */
type Answer = v.InferOutput<typeof ANSWER>;

/** What the log of a resource here has written behind a position. @throws STORE_*, LOG_FORMAT */
export function ownChanges({places, file}: Resource, from: number): Promise<Changes> {
  const files = createNodeFiles();
  const {segments} = readLogDirectory(files, places.paths.logDirectory, file.id);
  return readChanges(files, withoutSuperseded(segments).effective, from);
}

/**
 * Answers `POST resources/ID/changes` of a peer.
 *
 * @throws DiskError PEER_PROTOCOL, STORE_*
 */
export async function answerChanges(resource: Resource, body: unknown): Promise<Answer> {
  let from: number;
  try {
    from = parsePosition(check(REQUEST, body).from) ?? 0;
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    throw new DiskError('PEER_PROTOCOL', `a question about changes is not valid: ${fault}`);
  }

  return asAnswer(await ownChanges(resource, from));
}

function asAnswer(changes: Changes): Answer {
  return {
    from: formatPosition(changes.from),
    to: formatPosition(changes.end),
    records: changes.records,
    writtenBytes: changes.writtenBytes,
    ranges: changes.ranges.map(([start, end]) => [start, end - start]),
    complete: changes.isComplete,
    exact: changes.isExact,
    firstTime: timeOf(changes.firstMs),
    lastTime: timeOf(changes.lastMs),
  };
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** What would be lost: for `fork resolve`. */
export function asLoss(changes: Changes): ForkLoss {
  return {
    records: changes.records,
    writtenBytes: changes.writtenBytes,
    changedBytes: bytesIn(changes.ranges),
    firstTime: timeOf(changes.firstMs),
    lastTime: timeOf(changes.lastMs),
    complete: changes.isComplete,
  };
}

interface Side {
  readonly node: string;
  readonly changes: Answer | undefined;
  readonly error: string | null;
}

/** `fork diff`; asks the other sides for theirs. */
export async function forkDiff(context: Context, resource: Resource): Promise<ForkDiff> {
  await resource.poll();
  const {file, name} = resource;
  const own = standingOf(context, resource, resource.disk?.position);
  const others = context.roles?.replicas(file.id) ?? [];
  const parted = others.flatMap((other) => {
    const at = partingPoint(own, other);
    return at === undefined ? [] : [{other, at}];
  });
  if (parted.length === 0) {
    const none = {sides: [], differingBytes: null, rangeCount: 0, ranges: []};
    return {schema: 1, name, forked: false, position: null, ...none};
  }

  const at = Math.min(...parted.map((each) => each.at));
  const asked = parted.map(({other}) => ask(context, other, file.id, at));
  const here = ownChanges(resource, at).then(asAnswer);
  const sides = await Promise.all([settle(context.node.name, here), ...asked]);
  const ranges = combine(sides);
  return {
    schema: 1,
    name,
    forked: true,
    position: formatPosition(at),
    sides: sides.map((side) => describe(side, at)),
    differingBytes: bytesIn(ranges.map(({offset, length}) => [offset, offset + length])),
    rangeCount: ranges.length,
    ranges,
  };
}

function ask(context: Context, other: KnownReplica, id: string, at: number): Promise<Side> {
  const asked = async (): Promise<Answer> => {
    const body = {from: formatPosition(at)};
    const path = `resources/${id}/changes`;
    const answer = await context.roles?.call(other.nodeId, path, body, ASK_TIMEOUT_MS);
    try {
      return check(ANSWER, answer);
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      throw new DiskError('PEER_PROTOCOL', `${other.name} answered what is not valid: ${fault}`);
    }
  };
  return settle(other.name, asked());
}

async function settle(node: string, answer: Promise<Answer>): Promise<Side> {
  try {
    return {node, changes: await answer, error: null};
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    return {node, changes: undefined, error: `${error.code}: ${error.message}`};
  }
}

function describe({node, changes, error}: Side, at: number): ForkChanges {
  return {
    node,
    from: changes?.from ?? formatPosition(at),
    to: changes?.to ?? null,
    records: changes?.records ?? null,
    writtenBytes: changes?.writtenBytes ?? null,
    changedBytes: changes === undefined ? null : bytesIn(rangesOf(changes)),
    rangeCount: changes?.ranges.length ?? null,
    firstTime: changes?.firstTime ?? null,
    lastTime: changes?.lastTime ?? null,
    complete: changes?.complete ?? false,
    exact: changes?.exact ?? false,
    error,
  };
}

function rangesOf({ranges}: Answer): ByteRange[] {
  return mergeRanges(ranges.map(([offset, length]): ByteRange => [offset, offset + length]));
}

/** Cuts the ranges of all sides where somebody begins or ends. */
function combine(sides: readonly Side[]): ForkRange[] {
  const known = sides.flatMap(({node, changes}) =>
    changes === undefined ? [] : [{node, ranges: rangesOf(changes)}],
  );
  const edges = [...new Set(known.flatMap(({ranges}) => ranges.flat()))].sort((a, b) => a - b);
  const cursors = known.map(() => 0);
  const combined: {offset: number; length: number; by: string[]}[] = [];
  for (const [index, start] of edges.slice(0, -1).entries()) {
    const end = edges[index + 1] ?? start;
    const by = known.flatMap(({node, ranges}, side) => {
      while ((ranges[cursors[side] ?? 0]?.[1] ?? Infinity) <= start) {
        cursors[side] = (cursors[side] ?? 0) + 1;
      }

      return (ranges[cursors[side] ?? 0]?.[0] ?? Infinity) <= start ? [node] : [];
    });
    if (by.length === 0) continue;
    const last = combined.at(-1);
    const joins = last !== undefined && last.offset + last.length === start;
    if (joins && last.by.join(' ') === by.join(' ')) last.length += end - start;
    else combined.push({offset: start, length: end - start, by});
  }

  return combined;
}
