/**
 * `mars verify`: which replicas are compared with which one. Each replica is compared by its own node
 * (verify-replica.ts), which has the log to wait for and the image to mend; the node that was asked tells
 * the others to begin, asks how they are, and keeps nothing of it.
 */
import * as v from 'valibot';
import type {Member} from '../../cluster/members.js';
import type {VerifyDocument, VerifyReport, VerifyRequest} from '../../control/verify-api.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import type {Context} from '../context.js';
import type {Candidate} from './choose-source.js';
import type {Replica} from './replica.js';
import {VERIFY_REPORT} from './verify-facts.js';
import {checkPeer, explainOld} from './verify-view.js';

const CALL_TIMEOUT_MS = 10_000;
const NOT_WHOLE: ReadonlySet<string> = new Set([
  'InConsistent',
  'Syncing',
  'NotJoined',
  'Detached',
]);

/** A replica, here or elsewhere. */
interface Place {
  readonly nodeId: string;
  readonly name: string;
  /** undefined: the one here. */
  readonly candidate: Candidate | undefined;
}

const START = v.looseObject({
  source: v.pipe(v.string(), v.maxLength(64)),
  repair: v.boolean(),
  bytesPerSecond: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
});
/**
 * Begins comparisons.
 *
 * @throws DiskError CONFIRM_NEEDED, NO_SOURCE, PEER_UNREACHABLE, VERIFY_REFUSED, USAGE; what a replica
 *   refuses where it is the only one, else that is in its report
 */
export async function startVerify(
  context: Context,
  replica: Replica,
  wish: VerifyRequest,
): Promise<VerifyDocument> {
  const {resource} = replica;
  const {name} = resource;
  if (wish.repair && !wish.confirmed) {
    const said = `what of ${name} differs on a replica would be replaced by what the primary has: say --yes`;
    throw new DiskError('CONFIRM_NEEDED', said, {resource: name});
  }

  await resource.poll();
  const {reference, targets} = choose(context, replica, wish);
  const bytesPerSecond = wish.bytesPerSecond;
  const begin = {source: reference.nodeId, repair: wish.repair, bytesPerSecond};
  const begun = targets.map(async (target): Promise<VerifyReport> => {
    try {
      return await startAt(context, replica, target, begin);
    } catch (error) {
      if (targets.length === 1 || !isDiskError(error)) throw error;
      return notBegun(context, target, reference, error);
    }
  });
  const replicas = await Promise.all(begun);
  return {schema: 1, name, reference: reference.name, replicas};
}

/** How the last comparisons are, of all replicas that answer. */
export async function verifyView(context: Context, replica: Replica): Promise<VerifyDocument> {
  const own = replica.verify.report;
  const others = await askAll(context, replica, 'verify/state');
  return document(context, replica, [...(own === undefined ? [] : [own]), ...others]);
}

/** Ends what is under way, on all nodes. */
export async function stopVerify(context: Context, replica: Replica): Promise<VerifyDocument> {
  const own = await replica.verify.stop();
  const others = await askAll(context, replica, 'verify/stop');
  return document(context, replica, [...(own === undefined ? [] : [own]), ...others]);
}

/** Answers `POST resources/ID/verify`, `verify/state` and `verify/stop` of a member. */
export async function answerVerify(
  context: Context,
  replica: Replica,
  caller: Member,
  verb: 'start' | 'state' | 'stop',
  body: unknown,
): Promise<object> {
  const {verify, resource} = replica;
  if (verb === 'state') return {report: verify.report ?? null};
  if (verb === 'stop') return {report: (await verify.stop()) ?? null};
  const {source, repair, bytesPerSecond} = checkPeer(START, body, `${caller.name} asked`);
  await resource.poll();
  context.log.info({resource: resource.name, peer: caller.name, repair}, 'a peer asks to compare');
  return {report: verify.start({sourceId: source, repair, bytesPerSecond})};
}

function document(
  context: Context,
  replica: Replica,
  replicas: readonly VerifyReport[],
): VerifyDocument {
  const reference = findReference(context, replica)?.name ?? null;
  return {schema: 1, name: replica.resource.name, reference, replicas};
}

async function askAll(
  context: Context,
  replica: Replica,
  path: 'verify/state' | 'verify/stop',
): Promise<VerifyReport[]> {
  const reports = replica
    .candidates()
    .filter(({linkUp}) => linkUp)
    .map(async (candidate): Promise<VerifyReport[]> => {
      try {
        const report = await callFor(context, replica, candidate, path, {});
        return report === null ? [] : [report];
      } catch (error) {
        // It answers soon, or the comparison there says so when it ends.
        if (isDiskError(error)) return [];
        throw error;
      }
    });
  return (await Promise.all(reports)).flat();
}

async function startAt(
  context: Context,
  replica: Replica,
  {candidate}: Place,
  begin: v.InferOutput<typeof START>,
): Promise<VerifyReport> {
  if (candidate === undefined) {
    const {source, repair, bytesPerSecond} = begin;
    return replica.verify.start({sourceId: source, repair, bytesPerSecond});
  }

  if (!candidate.linkUp) {
    const said = `${candidate.name} is not heard of: its replica cannot be compared now`;
    throw new DiskError('PEER_UNREACHABLE', said, {node: candidate.name});
  }

  const report = await callFor(context, replica, candidate, 'verify', begin);
  if (report !== null) return report;
  throw new DiskError('PEER_PROTOCOL', `${candidate.name} began no comparison`);
}

async function callFor(
  {roles}: Context,
  {resource}: Replica,
  {nodeId, name}: Candidate,
  path: string,
  body: unknown,
): Promise<VerifyReport | null> {
  const call = roles?.call(nodeId, `resources/${resource.file.id}/${path}`, body, CALL_TIMEOUT_MS);
  const answer = await call?.catch((error: unknown) => {
    throw explainOld(error, name);
  });
  const schema = v.looseObject({report: v.nullable(VERIFY_REPORT)});
  return checkPeer(schema, answer, `${name} answered`).report as VerifyReport | null;
}

/** @throws DiskError NO_SOURCE, USAGE, PEER_UNREACHABLE, PEER_UNKNOWN, VERIFY_REFUSED */
function choose(
  context: Context,
  replica: Replica,
  {with: only, repair}: VerifyRequest,
): {readonly reference: Place; readonly targets: readonly Place[]} {
  const {name} = replica.resource;
  const details = {resource: name};
  const places = placesOf(context, replica);
  if (places.length === 1) {
    throw new DiskError('NO_SOURCE', `no other node is known to have ${name}`, details);
  }

  const reference = findReference(context, replica);
  if (reference === undefined) {
    const said = `no replica of ${name} is heard of that is whole: nothing to compare with`;
    throw new DiskError('PEER_UNREACHABLE', said, details);
  }

  if (repair && !isPrimary(replica, reference)) {
    const said = `nobody is primary of ${name} now: which replica is right is not known`;
    throw new DiskError('VERIFY_REFUSED', said, details);
  }

  const others = places.filter(({nodeId}) => nodeId !== reference.nodeId);
  if (only === undefined) {
    const heard = others.filter(({candidate}) => candidate?.linkUp !== false);
    if (heard.length > 0) return {reference, targets: others};
    const names = others.map((place) => place.name).join(', ');
    const said = `no other replica of ${name} is heard of: ${names}`;
    throw new DiskError('PEER_UNREACHABLE', said, details);
  }

  const found = places.find((place) => place.name === only);
  if (found === undefined) {
    const names = places.map((place) => place.name).join(', ');
    const said = `${only} is not known to have a replica of ${name}; known are: ${names}`;
    throw new DiskError('PEER_UNKNOWN', said, {...details, node: only});
  }

  const own = others.find(({candidate}) => candidate === undefined);
  const target = found.nodeId === reference.nodeId ? own : found;
  if (target !== undefined) return {reference, targets: [target]};
  const said = `${only} is this node, whose replica the others are compared with: name another one`;
  throw new DiskError('USAGE', said, {node: only});
}

/** The replica here first. */
function placesOf({node}: Context, replica: Replica): Place[] {
  const own = {nodeId: node.id, name: node.name, candidate: undefined};
  const others = replica
    .candidates()
    .map((candidate) => ({nodeId: candidate.nodeId, name: candidate.name, candidate}));
  return [own, ...others];
}

/** The primary; where none is heard of the replica with the longest log that is whole. */
function findReference(context: Context, replica: Replica): Place | undefined {
  const places = placesOf(context, replica).filter(({candidate}) => candidate?.linkUp !== false);
  const primary = places.find((place) => isPrimary(replica, place));
  if (primary !== undefined) return primary;
  const stateOf = ({candidate}: Place): string => candidate?.facts.state ?? replica.state;
  const endOf = ({candidate}: Place): string =>
    (candidate === undefined ? replica.resource.disk?.position : candidate.facts.position) ?? '';
  const [longest] = places
    .filter((place) => !NOT_WHOLE.has(stateOf(place)))
    .sort((left, right) => (endOf(left) < endOf(right) ? 1 : -1));
  return longest;
}

function isPrimary({resource}: Replica, {candidate}: Place): boolean {
  if (candidate !== undefined) return candidate.facts.role === 'primary';
  return resource.file.designatedRole === 'primary' && resource.disk?.mode === 'serve';
}

/** In the place of a report: this one did not begin, others have. */
function notBegun(
  {clock}: Context,
  target: Place,
  reference: Place,
  {code, message, details}: DiskError,
): VerifyReport {
  const now = new Date(clock.wallMs()).toISOString();
  return {
    ...{id: '', node: target.name, with: reference.name, state: 'failed', startedAt: now},
    ...{endedAt: now, verifiedAt: null, fromPosition: null, position: null},
    ...{doneBytes: 0, totalBytes: 0, differentBytes: 0, rangeCount: 0, ranges: []},
    repairedBytes: null,
    error: {code, message, details},
  };
}
