/**
 * The asking side: this node is to become primary. All of it runs in the queue of the resource.
 *
 *   1. refuse what cannot end well: a copy that is not whole, a fork, a fetch that is stopped
 *   2. find out who was primary last (right.ts); where it was this node, go on with 7
 *   3. wait until most of its log is here, so that the pause of the application is short
 *   4. ask it: it ends its role and answers with its grant (handover.ts), durable over there
 *   5. wait until the log is here durably up to the end that the grant names
 *   6. end the disk process that follows; compare end and chain of the log with the grant
 *   7. resource.json: designated role primary
 *   8. the disk process begins an epoch where the grant ends, and serves; an own grant from before
 *      is void from then on, as the lineage goes beyond it
 *
 *   dies or fails      at the next look
 *   before 7           secondary: it follows again. After 4 the grant still waits at the other node
 *                      and is answered again, however often it is asked for
 *   between 7 and 8    the wish is primary: the next start activates, from the same end of the log;
 *                      with an own grant from before that nothing shows to be taken it is secondary
 *                      again, and the other node is asked once more
 *
 * By force nobody is asked: 1 (only what is no state of the disk is refused, and a log that its disk
 * process cannot read), 6 without comparison, 7 with forcedAt, 8. Every valid record that is here is kept, also what its origin may have lost
 * (hazard 8); what is not here is not known, and said so.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import {passCrashPoint} from '../../core/crash-points.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import {formatPosition} from '../../core/position.js';
import type {LogEnd} from '../../log/log-end.js';
import {grantedError, type HandoverAnswer} from './handover.js';
import type {Right} from './right.js';

/** How far the replica here is, from its disk process. */
export interface ReplicaHere {
  /** Fixed-width hex. */
  readonly durable: string;
  readonly received: string;
  /** End of the log at the source, as last heard; null: not heard yet. */
  readonly originEnd: string | null;
}

/** The steps of a promotion on real files, processes and peers; fakes that die in tests. */
export interface PromoteSteps {
  readonly name: string;
  readonly nodeName: string;
  /** Why the image here is no state of the disk; undefined: it is one. */
  readonly mixture: () => Promise<string | undefined>;
  /** What is known of a fork; undefined: nothing. */
  readonly fork: () => string | undefined;
  /** Why nothing is fetched, as a wish; undefined: it is. */
  readonly fetchStopped: () => string | undefined;
  readonly right: () => Right;
  /** Steps 3 and 5: undefined while no disk process follows. */
  readonly here: () => Promise<ReplicaHere | undefined>;
  /** By force: the disk process has read the log. @throws DiskError as it says that it cannot */
  readonly isReadable: () => Promise<boolean>;
  /** Before step 3: whether it answers at all. @throws DiskError PEER_*, TIMEOUT */
  readonly reach: (nodeId: string) => Promise<void>;
  /** Step 4. @throws DiskError as the other node refuses, or PEER_*, TIMEOUT */
  readonly ask: (nodeId: string, timeoutMs: number) => Promise<HandoverAnswer>;
  /** Step 6: the end of the log when its disk process has ended; undefined: it is empty. */
  readonly stopFollowing: () => Promise<LogEnd | undefined>;
  /** Step 7. `forcedAt` undefined: handed over. */
  readonly savePrimary: (forcedAt: string | undefined) => void;
  /** Shows what is waited for; undefined: nothing any more. */
  readonly wait: (reason: string | undefined) => void;
  readonly now: () => string;
  /** On the clock of performance.now(). */
  readonly deadlineMs: number;
}

/** So little may be missing when the primary is asked to end its role. */
const NEAR_BYTES = 64 * 1024 * 1024;
const LOOK_MS = 50;
/** An answer that says nothing but that the other node is still at it. */
const ASK_SLACK_MS = 2000;

/**
 * Steps 1 to 7: afterwards this node may activate, and only this node.
 *
 * @throws DiskError REPLICA_INCONSISTENT, SPLIT_BRAIN, FETCH_STOPPED, ROLE_GRANTED, PRIMARY_AWAY, TIMEOUT,
 *   RESOURCE_BUSY, or how else the primary refuses; nothing has then changed here
 */
export async function takeRole(steps: PromoteSteps): Promise<void> {
  try {
    await requireConsistent(steps);
    const fork = steps.fork();
    if (fork !== undefined) throw new DiskError('SPLIT_BRAIN', fork, {resource: steps.name});
    const right = steps.right();
    if (right.kind === 'granted') throw grantedError(steps.name, right.grant);
    if (right.kind === 'ask') await takeFrom(steps, right);
    steps.savePrimary(undefined);
    passCrashPoint('take-wish-saved');
  } finally {
    steps.wait(undefined);
  }
}

/**
 * Takes the role without asking anybody.
 *
 * @throws DiskError REPLICA_INCONSISTENT, LOG_*, STORE_*, TIMEOUT; nothing has then changed here
 */
export async function forceRole(steps: PromoteSteps): Promise<void> {
  await requireConsistent(steps);
  // With the wish saved on a log that is damaged, this node would be primary and serve nothing.
  await untilReadable(steps);
  await steps.stopFollowing();
  passCrashPoint('force-follower-ended');
  // forcedAt says to a start from here on that an own grant does not count.
  steps.savePrimary(steps.now());
  passCrashPoint('force-wish-saved');
}

async function untilReadable(steps: PromoteSteps): Promise<void> {
  steps.wait('the disk process to read the log here');
  try {
    while (!(await steps.isReadable())) {
      if (performance.now() > steps.deadlineMs) {
        const text = `the log of ${steps.name} here was not read in time: nothing was changed`;
        throw new DiskError('TIMEOUT', text, {resource: steps.name});
      }

      await sleep(LOOK_MS);
    }
  } finally {
    steps.wait(undefined);
  }
}

async function requireConsistent({name, nodeName, mixture}: PromoteSteps): Promise<void> {
  const reason = await mixture();
  if (reason === undefined) return;
  const text = `the replica of ${name} on ${nodeName} is no state of the disk: ${reason}`;
  throw new DiskError('REPLICA_INCONSISTENT', text, {resource: name});
}

async function takeFrom(
  steps: PromoteSteps,
  primary: {readonly nodeId: string; readonly name: string},
): Promise<void> {
  const {name} = steps;
  const stopped = steps.fetchStopped();
  if (stopped !== undefined) throw new DiskError('FETCH_STOPPED', stopped, {resource: name});
  try {
    await steps.reach(primary.nodeId);
  } catch (error) {
    // A connection that is open and silent is no better than none.
    throw isAway(error) || isDiskError(error, 'TIMEOUT')
      ? awayError(steps, primary.name, error)
      : error;
  }

  await untilHere(steps, `most of the log of ${primary.name} to be here`, isNear);
  steps.wait(`${primary.name} to hand over ${name}`);
  const timeoutMs = Math.max(1000, steps.deadlineMs - performance.now());
  let grant: HandoverAnswer;
  try {
    grant = await steps.ask(primary.nodeId, timeoutMs + ASK_SLACK_MS);
  } catch (error) {
    throw isAway(error) ? awayError(steps, primary.name, error) : error;
  }

  passCrashPoint('take-granted');
  const {epoch, position, chain} = grant;
  const end = `position ${position}, where ${primary.name} ended`;
  await untilHere(steps, `the log up to ${end}`, ({durable}) => durable >= position);
  passCrashPoint('take-log-here');
  steps.wait('the disk process that follows to end');
  const here = await steps.stopFollowing();
  passCrashPoint('take-follower-ended');
  // An empty log has nothing that could differ; its copy has joined it to the other's.
  if (here === undefined) return;
  const isSame = formatPosition(here.position) === position && here.chain === chain;
  if (isSame) return;
  throw new DiskError(
    'SPLIT_BRAIN',
    `the log of ${name} here ends at ${formatPosition(here.position)} in epoch ${here.epoch}, ` +
      `that of ${primary.name} at ${position} in epoch ${epoch}, and they differ: nothing was changed`,
    {resource: name, position, here: formatPosition(here.position)},
  );
}

function isNear({received, originEnd}: ReplicaHere): boolean {
  if (originEnd === null) return false;
  return Number.parseInt(originEnd, 16) - Number.parseInt(received, 16) <= NEAR_BYTES;
}

/** @throws DiskError TIMEOUT, with what was waited for and how far it was */
async function untilHere(
  steps: PromoteSteps,
  what: string,
  isDone: (here: ReplicaHere) => boolean,
): Promise<void> {
  steps.wait(what);
  for (;;) {
    const here = await steps.here();
    if (here !== undefined && isDone(here)) return;
    if (performance.now() > steps.deadlineMs) {
      const at = here === undefined ? 'nothing is fetched' : `durable is ${here.durable}`;
      throw new DiskError('TIMEOUT', `${steps.name} waited for ${what}, but ${at}`, {
        resource: steps.name,
      });
    }

    await sleep(LOOK_MS);
  }
}

const AWAY_CODES = ['PEER_UNREACHABLE', 'PEER_SILENT', 'PEER_SSH_FAILED', 'PEER_UNKNOWN'] as const;

function isAway(error: unknown): boolean {
  return AWAY_CODES.some((code) => isDiskError(error, code));
}

function awayError({name}: PromoteSteps, primary: string, cause: unknown): DiskError {
  const words = cause instanceof Error ? cause.message : String(cause);
  return new DiskError(
    'PRIMARY_AWAY',
    `${primary} was primary of ${name} last and does not answer (${words}): bring it back, or, ` +
      `where it is really down, mars primary ${name} --force; what it has written since it was ` +
      `last heard of is then not here`,
    {resource: name, node: primary},
    {cause},
  );
}
