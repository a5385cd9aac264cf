/**
 * The serving side of a planned handover: this node was primary last, another one asks for the role.
 * All of it runs in the queue of the resource. In this order:
 *
 *   1. refuse: granted already, not the last primary, forked, in use over here (RESOURCE_BUSY)
 *   2. what is bound to the role ends (role-change.ts), device and image go, the log is committed, the disk process has ended
 *   3. the end of the log is read back from its files: everything below it is durable
 *   4. forcedAt goes from resource.json: what a later start finds then speaks of one decision only
 *   5. grant.json is written durably: THE COMMIT POINT
 *   6. resource.json: designated role secondary; the answer goes out
 *
 *   dies or fails        at the next look
 *   before 5             designated role primary, no grant: this node goes on as primary
 *   between 5 and 6      a grant, and still the wish: the wish is corrected, nothing is activated
 *   after 6              secondary; whoever holds the grant may ask again, and gets the same answer
 *
 * There is one writer of the decision, this node, so a lost answer cannot make two primaries. Whoever
 * asks in the name of another node than the one that was granted is refused, until a human forces.
 */
import * as v from 'valibot';
import {sharedModeSchema} from '../../cluster/shared-mode.js';
import {check} from '../../core/check.js';
import {passCrashPoint} from '../../core/crash-points.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import type {SharedMode} from '../../core/mode.js';
import {formatPosition} from '../../core/position.js';
import {chainSchema, idSchema, positionSchema, type LineageEntry} from '../../log/lineage.js';
import type {LogEnd} from '../../log/log-end.js';
import type {Grant} from './grant.js';

/** `POST resources/ID/handover`. */
export interface HandoverRequest {
  /** Who asks: the grant names it. */
  readonly to: string;
  readonly timeoutSeconds: number;
}

/** What a grant says, to who asked for it. */
export interface HandoverAnswer {
  readonly epoch: string;
  readonly position: string;
  readonly chain: string;
  /** How flushes wait for replicas: the facts that tell it may be older. */
  readonly modeSettings?: SharedMode | undefined;
}

const TIMEOUT_SECONDS_MAX = 3600;
/** Refusals that say by themselves what is to be done on which node. */
const OWN_CODES: ReadonlySet<string> = new Set([
  ...['RESOURCE_BUSY', 'HANDOVER_FAILED', 'HOOK_FAILED', 'SERVICE_FAILED', 'ROLLBACK_UNFINISHED'],
]);

const requestSchema = v.object({
  to: idSchema,
  timeoutSeconds: v.pipe(v.number(), v.minValue(0), v.maxValue(TIMEOUT_SECONDS_MAX)),
});
const answerSchema = v.looseObject({
  epoch: idSchema,
  position: positionSchema,
  chain: chainSchema,
  modeSettings: v.optional(sharedModeSchema),
});

/** Checks a body that came from a peer. @throws DiskError PEER_PROTOCOL */
export function checkHandoverRequest(body: unknown): HandoverRequest {
  return checkPeer(requestSchema, body);
}

/** Checks an answer that came from a peer. @throws DiskError PEER_PROTOCOL */
export function checkHandoverAnswer(body: unknown): HandoverAnswer {
  return checkPeer(answerSchema, body);
}

function checkPeer<S extends v.GenericSchema>(schema: S, body: unknown): v.InferOutput<S> {
  try {
    return check(schema, body);
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    throw new DiskError('PEER_PROTOCOL', `a peer's words on a handover are not valid: ${fault}`);
  }
}

/** The steps of a handover on real files and processes; fakes that die in tests. */
export interface HandoverSteps {
  readonly name: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly grant: () => Grant | undefined;
  readonly lineage: () => readonly LineageEntry[];
  /** Who has gone on from our history, or beside it, as far as the facts say. */
  readonly successor: () => {readonly name: string} | undefined;
  /** The wish is primary, or it is served. */
  readonly isPrimary: () => Promise<boolean>;
  /** Step 2. @throws DiskError RESOURCE_BUSY and others; image and device may be gone then */
  readonly deactivate: () => Promise<void>;
  /** Step 3. @throws DiskError where it is not known, or not durable */
  readonly settledEnd: () => Promise<LogEnd>;
  /** true where who asked has gone away: nobody would take the role. */
  readonly isAbandoned: () => boolean;
  /** Step 4. */
  readonly clearForced: () => void;
  /** Step 5. */
  readonly writeGrant: (grant: Grant) => void;
  /** Step 6. */
  readonly saveSecondary: () => void;
  /** Undoes step 2. */
  readonly resume: () => Promise<void>;
  readonly now: () => string;
}

/** A ROLE_GRANTED. */
export function grantedError(name: string, {to, toName, at}: Grant): DiskError {
  return new DiskError(
    'ROLE_GRANTED',
    `${name} was granted to ${toName} on ${at}, so only ${toName} may become primary: ` +
      `mars primary ${name} there`,
    {resource: name, grantedTo: toName, node: to},
  );
}

/**
 * Grants the primary role to `to`, or says why not; once granted, the same answer again.
 *
 * @throws DiskError ROLE_GRANTED, RESOURCE_NOT_PRIMARY, RESOURCE_BUSY, HANDOVER_FAILED, STORE_*; this
 *   node may then go on as primary, and does where it was
 */
export async function handOver(
  steps: HandoverSteps,
  to: {readonly id: string; readonly name: string},
): Promise<HandoverAnswer> {
  const {name} = steps;
  const known = steps.grant();
  if (known !== undefined) {
    if (known.to !== to.id) throw grantedError(name, known);
    // Once more: it may be that it could be renamed but not made durable. And the wish may not
    // have been corrected: the last life ended between the two.
    steps.writeGrant(known);
    steps.saveSecondary();
    return answerOf(known);
  }

  const wasPrimary = await steps.isPrimary();
  if (!wasPrimary) requireLastPrimary(steps);
  let grant: Grant;
  try {
    if (wasPrimary) await steps.deactivate();
    passCrashPoint('handover-deactivated');
    const {epoch, position, chain} = await steps.settledEnd();
    passCrashPoint('handover-end-known');
    if (steps.isAbandoned()) {
      throw new DiskError('HANDOVER_FAILED', `${to.name} asked for ${name} and has gone away`);
    }

    grant = {
      schema: 1,
      to: to.id,
      toName: to.name,
      epoch,
      position: formatPosition(position),
      chain,
      known: steps
        .lineage()
        .filter(({start}) => start >= formatPosition(position))
        .map((entry) => entry.epoch),
      at: steps.now(),
    };
    steps.clearForced();
    passCrashPoint('handover-forced-cleared');
    steps.writeGrant(grant);
    passCrashPoint('handover-granted');
  } catch (error) {
    if (wasPrimary && steps.grant() === undefined) await steps.resume();
    throw asRefusal(error, steps);
  }

  steps.saveSecondary();
  passCrashPoint('handover-wish-saved');
  return answerOf(grant);
}

/** A node that is secondary grants only where the last epoch is its own: nobody came after it. */
function requireLastPrimary({name, nodeId, nodeName, lineage, successor}: HandoverSteps): void {
  const last = lineage().at(-1);
  const after = successor();
  if (last?.node === nodeId && after === undefined) return;
  const who = after?.name ?? last?.nodeName;
  const text = who === undefined ? 'nobody was yet' : `${who} was primary after it`;
  throw new DiskError('RESOURCE_NOT_PRIMARY', `${nodeName} cannot hand over ${name}: ${text}`, {
    resource: name,
    node: nodeName,
  });
}

function asRefusal(error: unknown, {name, nodeName}: HandoverSteps): unknown {
  if (!isDiskError(error) || OWN_CODES.has(error.code)) return error;
  return new DiskError(
    'HANDOVER_FAILED',
    `${nodeName} could not end its role and goes on with ${name}: ${error.message}`,
    {...error.details, resource: name, cause: error.code},
    {cause: error},
  );
}

function answerOf({epoch, position, chain}: Grant): HandoverAnswer {
  return {epoch, position, chain};
}
