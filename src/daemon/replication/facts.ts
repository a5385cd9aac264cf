/** What this node tells of its replicas (cluster/facts). */
import type {ResourceFacts} from '../../cluster/facts.js';
import {FACTS_LINEAGE_MAX} from '../../cluster/facts.js';
import type {ReplicaStatus, Role, SyncProgress} from '../../control/api.js';
import type {VerifyReport, VerifySummary} from '../../control/verify-api.js';
import type {DiskStatus, Message, Waiting} from '../../core/disk-status.js';
import type {ResourceFile} from '../../core/home.js';
import {modeOf, sharedModeOf} from '../../core/mode.js';
import type {LineageEntry} from '../../log/lineage.js';
import type {Grant} from './grant.js';
import type {GivenUp} from './next-view.js';
import {verifyFacts} from './verify-facts.js';

const MESSAGES_MAX = 32;
const TEXT_CHARS_MAX = 2000;
const EPOCH = /^(?!0{32}$)[0-9a-f]{32}$/u;

export interface FactsInput {
  readonly nodeId: string;
  readonly file: ResourceFile;
  readonly role: Role;
  readonly state: string;
  /** The last word of the disk process, also after its end. */
  readonly disk: DiskStatus | undefined;
  readonly lineage: readonly LineageEntry[];
  /** While no disk process runs: what its files say of a history that is given up; null: nothing is. Absent: `disk` says it. */
  readonly givenUp?: GivenUp | null;
  readonly openCount: number | null;
  readonly grant: Grant | undefined;
  readonly forked: {
    readonly position: string | null;
    readonly with: string;
    readonly text: string;
  } | null;
  readonly sync: SyncProgress | null;
  readonly verify: VerifyReport | undefined;
  readonly messages: readonly Message[];
  readonly replication: ReplicaStatus['replication'] | null;
  readonly since: string | null;
  readonly waiting: Waiting | null;
}

/** A copy that is not whole yet does not trail: its image has yet to get to the end of it. */
function trailsBehind(file: ResourceFile, disk: DiskStatus | undefined): boolean {
  return (file.historySeconds ?? 0) > 0 && disk?.follow?.sync == null;
}

/** Facts beyond those that every version knows; absent where the peer is older. */
export interface FollowFacts {
  readonly roleName?: Role;
  readonly replication?: ReplicaStatus['replication'];
  readonly since?: string;
  readonly waiting?: Waiting;
  readonly verify?: VerifySummary;
}

/** Builds the facts of one resource. */
export function resourceFacts(input: FactsInput): ResourceFacts {
  const {file, role, grant} = input;
  // One that still reads its log has no positions yet, and tells zeros.
  const isRead = input.disk?.phase !== 'starting' && input.disk?.phase !== 'recovering';
  const disk = isRead ? input.disk : undefined;
  const givenUp = input.givenUp === undefined ? givenUpBy(input.disk) : input.givenUp;
  const told = disk === undefined ? undefined : toldPositions(disk, givenUp?.at ?? null);
  const history = historyOf(input, givenUp !== null);
  const epoch = (givenUp?.at == null ? disk?.epoch : undefined) ?? history.at(-1)?.epoch ?? null;
  const shared = sharedModeOf(file);
  const isServed = role === 'primary' || role === 'remainsPrimary' || role === 'forcedPrimary';
  return {
    id: file.id,
    name: file.name,
    sizeBytes:
      disk?.sizeBytes === undefined ? file.sizeBytes : Math.max(disk.sizeBytes, file.sizeBytes),
    createdAt: file.createdAt,
    segmentBytes: file.segmentBytes,
    alignmentBytes: file.alignmentBytes,
    mode: modeOf(file).mode,
    ...(shared === undefined ? {} : {modeSettings: shared}),
    ...(isServed ? {degradedSince: input.disk?.synchronous?.degraded?.since ?? null} : {}),
    role: isServed ? 'primary' : 'secondary',
    designatedRole: file.designatedRole,
    attached: file.attached,
    state: input.state,
    epoch: epoch !== null && EPOCH.test(epoch) ? epoch : null,
    position: told?.position ?? null,
    chain: told?.chain ?? null,
    durable: told?.durable ?? null,
    replayed: told?.replayed ?? null,
    replayTo: told?.replayingTo ?? null,
    lineage: history.slice(-FACTS_LINEAGE_MAX).map((entry) => ({...entry})),
    openCount: input.openCount,
    granted:
      grant === undefined
        ? null
        : {
            to: grant.to,
            epoch: grant.epoch,
            position: grant.position,
            known: [...(grant.known ?? [])],
            at: grant.at,
          },
    forked: input.forked,
    sync:
      input.sync === null
        ? null
        : {doneBytes: input.sync.doneBytes, totalBytes: input.sync.totalBytes},
    fetchPaused: file.fetchPaused === true || file.connected === false,
    replayPaused: file.replayPaused,
    messages: input.messages
      .slice(0, MESSAGES_MAX)
      .map((message) => ({...message, text: message.text.slice(0, TEXT_CHARS_MAX)})),
    logBytes: disk?.log.bytes ?? 0,
    roleName: role,
    ...(trailsBehind(file, disk) ? {historySeconds: file.historySeconds ?? 0} : {}),
    ...(input.replication === null ? {} : {replication: input.replication}),
    ...(input.since === null ? {} : {since: input.since}),
    ...(input.waiting === null ? {} : {waiting: input.waiting}),
    ...(input.verify === undefined ? {} : {verify: verifyFacts(input.verify)}),
  };
}

/** What a source that was asked last has answered, where that was that the histories have parted. */
export function forkedBy(disk: DiskStatus | undefined, nodeId: string): FactsInput['forked'] {
  const answer = disk?.follow?.answer;
  if (answer?.kind !== 'forked') return null;
  return {position: answer.position ?? null, with: nodeId, text: answer.text ?? ''};
}

/** Of a replica that gives up its history, and keeps it until another one is here, only what stays. */
function toldPositions(
  disk: DiskStatus,
  at: string | null,
): Pick<DiskStatus, 'position' | 'chain' | 'durable' | 'replayed' | 'replayingTo'> {
  return at === null ? disk : {position: at, durable: at, replayed: at, replayingTo: at};
}

function givenUpBy(disk: DiskStatus | undefined): GivenUp | null {
  const at = disk?.follow?.next?.at;
  if (at != null) return {at};
  const phase = disk?.follow?.phase;
  return phase === 'empty' || phase === 'syncing' ? {at: null} : null;
}

/**
 * A replica that is copied anew has given up the epochs that it began itself: whoever still heard of
 * them, such as a primary that starts again, would take them for a fork.
 */
function historyOf({nodeId, lineage}: FactsInput, isGivenUp: boolean): readonly LineageEntry[] {
  if (!isGivenUp) return lineage;
  return lineage.slice(0, lineage.findLastIndex(({node}) => node !== nodeId) + 1);
}
