/**
 * Roles on real files and processes: what handover.ts and promote.ts decide, done to a resource of
 * this node; and what a node finds out before it serves again (hazards 7, 8, 14).
 *
 *   found before an activation                        done
 *   a grant that is in force                          secondary: only the other node may go on
 *   a grant, and forcedAt                             primary again: a human forced, it does not count
 *   a peer has gone on, we have nothing of our own    secondary: follows (SUPERSEDED)
 *   a peer has gone on, we have records of our own    secondary, kept as it is (SPLIT_BRAIN)
 *   a peer has more of our own last epoch             primary again, after that was taken (longer-tail)
 *   no peer answers, or none has gone on              primary again
 */
import fs from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import type {PrimaryRequest} from '../../control/api.js';
import {passCrashPoint} from '../../core/crash-points.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition} from '../../core/position.js';
import {readLogEnd, type LogEnd} from '../../log/log-end.js';
import {findDisk, startFollow, startReplay, stopReplay} from '../activate.js';
import type {Context} from '../context.js';
import {bringUp, endServing} from '../operations.js';
import {afterSecondary} from '../role-change.js';
import type {Resource} from '../resource.js';
import {writeGrant} from './grant.js';
import {
  checkHandoverAnswer,
  checkHandoverRequest,
  handOver,
  type HandoverAnswer,
  type HandoverSteps,
} from './handover.js';
import {forceRole, takeRole, type PromoteSteps} from './promote.js';
import {takeLongerTail} from './longer-tail.js';
import {isSwitching} from './next-view.js';
import {findRight, judgeAll, partingPoint, type Verdict} from './right.js';
import {noteGrant} from './role-notes.js';
import type {KnownReplica} from './role-services.js';
import {adoptMode, modeForPeer} from './shared-mode.js';
import {grantInForce, lineageOf, replicasOf, standingOf} from './standing.js';

const RESUME_TIMEOUT_MS = 60_000;
const LOOK_MS = 50;
/** Peers are asked this long before a resource is served again at the start of the daemon. */
export const ASK_PEERS_MS = 5000;

function logEndOf(resource: Resource): LogEnd | undefined {
  const {file, places} = resource;
  if (!fs.existsSync(places.paths.logDirectory)) return undefined;
  return readLogEnd(createNodeFiles(), places.paths.logDirectory, file.id);
}

/**
 * Answers `POST resources/ID/handover` of a peer; waits in the queue of the resource.
 *
 * @param signal aborted when the peer has gone away: before the grant that ends the handover
 * @throws DiskError as handOver; PEER_PROTOCOL
 */
export async function answerHandover(
  context: Context,
  resource: Resource,
  caller: {readonly id: string; readonly name: string},
  body: unknown,
  signal: AbortSignal,
): Promise<HandoverAnswer> {
  const {to, timeoutSeconds} = checkHandoverRequest(body);
  if (to !== caller.id) {
    throw new DiskError('PEER_PROTOCOL', `${caller.name} asks in the name of another node`);
  }

  const deadlineMs = performance.now() + timeoutSeconds * 1000;
  return resource.run('handover', async () => {
    const answer = await handOver(handoverSteps(context, resource, deadlineMs, signal), caller);
    noteGrant(context, resource);
    context.roles?.touch();
    return {...answer, ...modeForPeer(resource.file)};
  });
}

function handoverSteps(
  context: Context,
  resource: Resource,
  deadlineMs: number,
  signal: AbortSignal,
): HandoverSteps {
  const {name, places} = resource;
  const {grantFile} = places.paths;
  return {
    name,
    nodeId: context.node.id,
    nodeName: context.node.name,
    grant: () => grantInForce(resource),
    lineage: () => lineageOf(resource),
    successor: () => successorOf(context, resource),
    isPrimary: async () => {
      if (resource.file.designatedRole === 'primary') return true;
      return (await findDisk(places)).kind === 'serving';
    },
    deactivate: async () => {
      await endServing(context, resource, deadlineMs);
    },
    settledEnd: () => settledEnd(context, resource, deadlineMs),
    isAbandoned: () => signal.aborted || performance.now() > deadlineMs,
    clearForced: () => {
      clearForced(resource);
    },
    writeGrant: (grant) => {
      writeGrant(grantFile, grant);
      const text = `${name} was granted to ${grant.toName} at ${grant.position}`;
      context.tell('ROLE_HANDED', 'info', name, text, {node: grant.toName});
    },
    saveSecondary: () => {
      if (resource.file.designatedRole === 'secondary') return;
      resource.save({designatedRole: 'secondary', withoutDevice: false});
      context.tell('ROLE_SECONDARY', 'info', name, `${name} is secondary here`);
      // Nobody over there waits for it.
      void afterSecondary(context, resource);
    },
    resume: async () => {
      const {driver} = resource.file;
      const resumeMs = performance.now() + RESUME_TIMEOUT_MS;
      try {
        await bringUp(context, resource, {driver, acceptImage: false, deadlineMs: resumeMs});
      } catch (error) {
        // The wish is still primary: the supervision goes on trying.
        context.log.error({resource: name, err: error}, 'not primary again after a handover');
      }
    },
    now: () => new Date(context.clock.wallMs()).toISOString(),
  };
}

/** The end of a log that nobody appends to, once everything below it is durable. */
async function settledEnd(
  context: Context,
  resource: Resource,
  deadlineMs: number,
): Promise<LogEnd> {
  const {file, name, places} = resource;
  let settling: Awaited<ReturnType<typeof startReplay>>;
  for (;;) {
    const {kind, status = resource.lastDisk} = await findDisk(places);
    const isReady = status?.phase !== 'starting' && status?.phase !== 'recovering';
    const isSettled = isReady && status !== undefined && status.durable === status.position;
    if (kind !== 'serving' && kind !== 'silent' && (isSettled || settling?.ended === 0)) {
      const end = logEndOf(resource);
      const isAsTold = end !== undefined && formatPosition(end.position) === status?.position;
      if (end !== undefined && (isAsTold || settling?.ended === 0)) return end;
    }

    // Its start writes again whatever is in doubt, and makes it durable.
    if (kind === 'absent') settling ??= await startReplay(context, file);
    if (performance.now() > deadlineMs) {
      throw new DiskError('TIMEOUT', `the end of the log of ${name} is not known in time`, {
        resource: name,
      });
    }

    await sleep(LOOK_MS);
  }
}

function successorOf(context: Context, resource: Resource): {name: string} | undefined {
  const verdict = judgeHere(context, resource, resource.lastDisk?.position);
  return verdict.kind === 'newest' ? undefined : {name: verdict.byName};
}

function judgeHere(context: Context, resource: Resource, position: string | undefined): Verdict {
  return judgeAll(standingOf(context, resource, position), replicasOf(context, resource));
}

function clearForced(resource: Resource): void {
  if (resource.file.forcedAt !== undefined) resource.save({forcedAt: undefined});
}

/**
 * Takes the primary role for this node: afterwards it may activate, and the wish says so.
 *
 * @returns what the user should know, after a use of force
 * @throws DiskError as takeRole and forceRole
 */
export async function takePrimary(
  context: Context,
  resource: Resource,
  request: PrimaryRequest,
): Promise<string[]> {
  const steps = promoteSteps(context, resource, request);
  const right = steps.right();
  if (!request.force || right.kind === 'own') {
    await takeRole(steps);
    context.roles?.touch();
    return [];
  }

  const notes = unknownSince(context, resource);
  await forceRole(steps);
  const text = `${resource.name} was made primary here by force; ${notes.join('; ')}`;
  context.tell('FORCED_PRIMARY', 'warning', resource.name, text);
  context.roles?.touch();
  return notes;
}

/** What nobody here knows of the others: never "nothing was lost". */
function unknownSince(context: Context, resource: Resource): string[] {
  const here = resource.lastDisk?.position ?? 'an unknown position';
  const replicas = replicasOf(context, resource);
  const notes = replicas.map(({name, heardAt, facts}) => {
    const known = facts.position === null ? 'at an unknown position' : `at ${facts.position}`;
    return heardAt === null
      ? `${name} was not heard of since this daemon runs: what it has is unknown`
      : `${name} was last heard of on ${heardAt}, ${known}${degradedWords(facts.degradedSince)}; what it has acknowledged since is unknown`;
  });
  const last = lineageOf(resource).at(-1);
  if (last !== undefined && last.node !== context.node.id) {
    if (!replicas.some(({nodeId}) => nodeId === last.node)) {
      notes.push(`${last.nodeName} was primary last; what it has acknowledged is unknown`);
    }
  }

  return [`the log here ends at ${here}`, ...notes];
}

/** Flushes of a primary that are not where its mode wants them. */
function degradedWords(since: string | null | undefined): string {
  return since == null ? '' : `, and answered flushes without replicas since ${since}`;
}

function promoteSteps(context: Context, resource: Resource, request: PrimaryRequest): PromoteSteps {
  const {name, places} = resource;
  const deadlineMs = performance.now() + request.timeoutSeconds * 1000;
  const until = new Date(context.clock.wallMs() + request.timeoutSeconds * 1000).toISOString();
  return {
    name,
    nodeName: context.node.name,
    deadlineMs,
    mixture: async () => {
      await resource.poll();
      return mixtureOf(context, resource);
    },
    fork: () => {
      if (resource.disk?.follow?.next != null) {
        return (
          `${name} here gives up its history for that of another node, and has not all of that yet: ` +
          `mars wait ${name} synced; mars primary ${name} --force takes what is here`
        );
      }

      const answer = resource.disk?.follow?.answer;
      // The disk process forgets what it was told when it asks again, or is started again.
      const isNoted = resource.messages.some(({code}) => code === 'SPLIT_BRAIN');
      const isSilent = answer == null || answer.kind === 'refused';
      if (answer?.kind !== 'forked' && !(isSilent && isNoted)) return undefined;
      if (isForkOver(context, resource)) return undefined;
      const at = answer?.position ?? 'an unknown position';
      return (
        `${name} here has another history from ${at} on: mars fork show ${name}; the other side ` +
        `goes on, and mars primary ${name} --force here would make two primaries`
      );
    },
    fetchStopped: () => fetchStoppedOf(resource),
    right: () =>
      findRight(
        {nodeId: context.node.id, lineage: lineageOf(resource), grant: grantInForce(resource)},
        replicasOf(context, resource),
      ),
    here: async () => {
      await resource.poll();
      if (resource.disk?.mode !== 'follow') {
        resource.noteStatus(await startFollow(context, resource.file, deadlineMs));
        resource.follow?.poke();
      }

      const {disk} = resource;
      const follow = disk?.follow ?? undefined;
      if (disk === undefined || follow === undefined) return undefined;
      const {received, originEnd} = follow;
      return {durable: disk.durable, received, originEnd};
    },
    isReadable: () => isReadable(context, resource, deadlineMs),
    reach: async (nodeId) => {
      const {roles} = context;
      if (roles === undefined) throw noCluster(nodeId);
      resource.wait('the last primary to answer', until);
      await roles.call(nodeId, 'facts', {facts: []}, ASK_PEERS_MS);
    },
    ask: async (nodeId, timeoutMs) => {
      const {roles, node} = context;
      if (roles === undefined) throw noCluster(nodeId);
      // The other side gives up before we do: its answer is worth more than our impatience.
      const timeoutSeconds = Math.min(3600, timeoutMs / 1000);
      const path = `resources/${resource.file.id}/handover`;
      const body = {to: node.id, timeoutSeconds};
      const said = await roles.call(nodeId, path, body, timeoutMs + ASK_PEERS_MS);
      const answer = checkHandoverAnswer(said);
      if (answer.modeSettings !== undefined) adoptMode(context, resource, answer.modeSettings);
      return answer;
    },
    stopFollowing: async () => {
      const {kind, status} = await findDisk(places);
      if (kind === 'replaying') {
        await stopReplay(places, name, deadlineMs);
        resource.noteEnd(status);
      }

      return logEndOf(resource);
    },
    savePrimary: (forcedAt) => {
      resource.save({
        designatedRole: 'primary',
        withoutDevice: !request.device,
        forcedAt,
      });
    },
    wait: (reason) => {
      if (reason === undefined) resource.waitIsOver();
      else resource.wait(reason, until);
    },
    now: () => new Date(context.clock.wallMs()).toISOString(),
  };
}

/** @throws DiskError what the disk process that follows says of the log here */
async function isReadable(
  context: Context,
  resource: Resource,
  deadlineMs: number,
): Promise<boolean> {
  await resource.poll();
  try {
    if (resource.disk?.mode !== 'follow') {
      const words = resource.silentSince === undefined ? undefined : resource.lastWords();
      if (words !== undefined) throw words;
      resource.forgetEnd();
      resource.noteStatus(await startFollow(context, resource.file, deadlineMs));
    }
  } catch (error) {
    // Force takes another image as it is: it is asked for after the log.
    if (isDiskError(error, 'IMAGE_CHANGED')) return true;
    throw error;
  }

  const phase = resource.disk?.follow?.phase;
  return phase === 'following' || phase === 'stopped';
}

function noCluster(nodeId: string): DiskError {
  return new DiskError('PEER_UNKNOWN', 'this node has no cluster', {node: nodeId});
}

/**
 * What was said of a fork may be old: the other side has given way since. Then all replicas are
 * heard of, and none has a history of its own; whoever was primary last is still asked.
 */
function isForkOver(context: Context, resource: Resource): boolean {
  const own = standingOf(context, resource, resource.disk?.position);
  const others = replicasOf(context, resource);
  const agrees = (other: KnownReplica): boolean =>
    other.linkUp && partingPoint(own, other) === undefined;
  return others.length > 0 && others.every((other) => agrees(other));
}

function mixtureOf(context: Context, {name, disk, places}: Resource): string | undefined {
  if (fs.existsSync(places.paths.syncFile)) return 'its copy is not complete';
  if (isSwitching(context.paths.home, name)) return 'what was fetched is put in place just now';
  if (disk !== undefined && disk.position < disk.replayingTo) {
    return `its image has parts of up to ${disk.replayingTo}, its log ends at ${disk.position}`;
  }

  return undefined;
}

function fetchStoppedOf({file}: Resource): string | undefined {
  if (file.connected === false) return `${file.name} is disconnected: mars connect ${file.name}`;
  if (file.fetchPaused === true) {
    return `the fetch of ${file.name} is paused: mars fetch resume ${file.name}`;
  }

  return undefined;
}

/**
 * Looks whether a resource whose wish is primary may be served by this node again; where not, the
 * wish is corrected. Runs in the queue of the resource, before each activation that nobody asked for.
 *
 * @param askMs how long peers are asked first, and may give what they have more; 0: what is known counts
 * @throws DiskError STATE_UNREADABLE where it cannot be known whether the role was granted away
 */
export async function mayServeAgain(
  context: Context,
  resource: Resource,
  askMs: number,
): Promise<boolean> {
  const {name, file} = resource;
  const grant = grantInForce(resource);
  if (grant !== undefined && file.forcedAt === undefined) {
    resource.save({designatedRole: 'secondary', withoutDevice: false});
    passCrashPoint('return-wish-corrected');
    noteGrant(context, resource);
    return false;
  }

  const {roles} = context;
  if (roles === undefined || !roles.hasPeers()) return true;
  if (askMs > 0) {
    const until = new Date(context.clock.wallMs() + askMs).toISOString();
    resource.wait('the other nodes to say whether one of them is primary', until);
    await roles.askPeers(askMs);
    resource.waitIsOver();
  }

  const own = standingOf(context, resource, undefined);
  const verdict = judgeAll(own, replicasOf(context, resource));
  if (verdict.kind === 'newest') {
    if (askMs > 0) await takeLongerTail(context, resource, own);
    return true;
  }

  if (verdict.kind === 'unrelated' && !isPrimaryElsewhere(context, resource, verdict.by))
    return true;
  resource.save({designatedRole: 'secondary', withoutDevice: false, forcedAt: undefined});
  passCrashPoint('return-wish-corrected');
  if (verdict.kind === 'superseded') {
    const text =
      `${verdict.byName} has gone on with ${name} from ${verdict.at}, and there is nothing here ` +
      `beyond that: ${name} is secondary here and follows`;
    context.tell('SUPERSEDED', 'warning', name, text, {node: verdict.byName});
  } else {
    const at = verdict.kind === 'forked' ? verdict.at : 'an unknown position';
    const text =
      `${verdict.byName} and this node have different histories of ${name} from ${at} on: both ` +
      `are kept, nothing is served here; mars fork show ${name}`;
    context.tell('SPLIT_BRAIN', 'critical', name, text, {node: verdict.byName});
    resource.say('SPLIT_BRAIN', 'critical', text);
  }

  return false;
}

function isPrimaryElsewhere(context: Context, resource: Resource, nodeId: string): boolean {
  const facts = replicasOf(context, resource).find((each) => each.nodeId === nodeId)?.facts;
  return facts?.role === 'primary' || facts?.designatedRole === 'primary';
}
