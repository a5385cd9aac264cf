/**
 * The steps of `mars resource move NAME --to NODE`, said on the node whose replica goes:
 *
 *   join       NODE gets a replica                       done where it has one
 *   sync       its image is copied, its log follows      done where it is whole
 *   handover   NODE becomes primary, as this node is     done where this node is not primary
 *   leave      image and log of this node are removed    done where it has none
 *
 * What is to be done is read from the status each time, never remembered: a command that was
 * broken off is said again, and goes on where it was.
 */
import {setTimeout as pause} from 'node:timers/promises';
import type {
  DeleteResult,
  LeaveRequest,
  ReplicaStatus,
  ResourceStatus,
  StatusDocument,
} from '../control/api.js';
import type {MoveJoinRequest, MovePrimaryRequest} from '../control/move-api.js';
import type {PeerList} from '../control/peer-api.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {getStatusOf, resourcePath, type Daemon} from './daemon.js';
import {startProgress, type Progress} from './progress.js';

export const MOVE_STEPS = ['join', 'sync', 'handover', 'leave'] as const;
export type MoveStep = (typeof MOVE_STEPS)[number];

export interface MoveDocument {
  readonly schema: 1;
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly dryRun: boolean;
  readonly steps: readonly {
    readonly step: MoveStep;
    /** `skipped`: by --keep. */
    readonly state: 'done' | 'todo' | 'skipped';
    readonly text: string;
  }[];
  /** What leaving removes here; empty where it was done before, or is not. */
  readonly removes: DeleteResult['removes'];
}

export interface MoveOptions {
  readonly daemon: Daemon;
  readonly name: string;
  readonly to: string;
  /** For the image on the other node; undefined: below its home. */
  readonly image: string | undefined;
  /** Do not leave. */
  readonly keep: boolean;
  readonly dryRun: boolean;
  /** Of all steps together. */
  readonly timeoutSeconds: number;
  readonly stream: NodeJS.WriteStream;
  readonly remark: (text: string) => void;
  /** The plan, before anything is done. */
  readonly planned: (document: MoveDocument) => void;
}

const POLL_MS = 200;
const REMARK_MS = 3000;
/** Images in these states are of one moment. */
const WHOLE = ['UpToDate', 'OutDated[F]', 'OutDated[R]', 'OutDated[FR]', 'WriteBack'];
/** So long an answer of the other node is waited for, for a step that needs no work. */
const JOIN_SECONDS = 60;

/**
 * Moves the replica of this node.
 *
 * @throws DiskError RESOURCE_UNKNOWN, PEER_*, RESOURCE_BUSY and what else the steps throw; said again it
 *   goes on from there
 */
export async function move(options: MoveOptions): Promise<MoveDocument> {
  const {daemon, name, to, keep} = options;
  const before = await daemon.get<StatusDocument>(
    `/v1/status?resource=${encodeURIComponent(name)}`,
  );
  const from = before.node;
  if (from === to) {
    throw new DiskError('USAGE', `${to} is this node: say it on the node whose replica is to go`);
  }

  const {members} = await daemon.get<PeerList>('/v1/peers');
  if (!members.some((member) => member.name === to)) {
    const text = `${to} is no member of the cluster: mars peer list shows them`;
    throw new DiskError('PEER_UNKNOWN', text, {node: to});
  }

  const plan = await describe(options, before, options.dryRun);
  options.planned(plan);
  if (options.dryRun || plan.steps.every(({state}) => state !== 'todo')) return plan;
  const deadlineMs = performance.now() + options.timeoutSeconds * 1000;
  const run = new Move(options, from, deadlineMs);
  await run.join();
  await run.sync();
  await run.handOver();
  if (!keep) await run.leave();
  const steps = plan.steps.map((each) =>
    each.state === 'todo' ? {...each, state: 'done' as const} : each,
  );
  return {...plan, steps};
}

async function describe(
  {daemon, name, to, keep}: MoveOptions,
  {node, resources}: StatusDocument,
  dryRun: boolean,
): Promise<MoveDocument> {
  const [status] = resources;
  if (status === undefined) {
    throw new DiskError('RESOURCE_UNKNOWN', `there is no resource ${name} here`, {name});
  }

  const there = replicaOf(status, to);
  const isHere = status.state !== 'NotJoined';
  if (!isHere && there === undefined) {
    const text = `${name} has no replica here that could move, and none on ${to}`;
    throw new DiskError('RESOURCE_UNKNOWN', text, {name});
  }

  const removes = isHere && !keep ? await removesOf(daemon, name) : [];
  const bytes = removes.map(({path}) => path).join(', ');
  const state = (isDone: boolean): 'done' | 'todo' => (isDone ? 'done' : 'todo');
  const isPrimaryHere = isHere && isPrimary(status);
  return {
    ...{schema: 1, name, from: node, to, dryRun},
    steps: [
      {
        step: 'join',
        state: state(there !== undefined),
        text: `${to} ${there === undefined ? 'gets' : 'has'} a replica`,
      },
      {step: 'sync', state: state(!isHere || isWhole(there)), text: `its image is whole`},
      {
        step: 'handover',
        state: state(!isPrimaryHere),
        text: isPrimaryHere
          ? `${to} becomes primary: nobody may have the disk open here then`
          : `${node} is not primary`,
      },
      {
        step: 'leave',
        state: keep ? 'skipped' : state(!isHere),
        text: isHere ? `removed here: ${bytes === '' ? 'nothing' : bytes}` : `${node} has none`,
      },
    ],
    removes,
  };
}

async function removesOf(daemon: Daemon, name: string): Promise<DeleteResult['removes']> {
  const body = {dryRun: true, confirmed: false};
  return (await daemon.remove<DeleteResult>(resourcePath(name), body, JOIN_SECONDS)).removes;
}

function replicaOf({replicas}: ResourceStatus, node: string): ReplicaStatus | undefined {
  return replicas.find((one) => one.node === node);
}

function isPrimary({role}: {readonly role: ResourceStatus['role']}): boolean {
  return role === 'primary' || role === 'forcedPrimary' || role === 'remainsPrimary';
}

function isWhole(there: ReplicaStatus | undefined): boolean {
  return there !== undefined && there.sync === null && WHOLE.includes(there.state);
}

class Move {
  readonly #options: MoveOptions;
  readonly #from: string;
  readonly #deadlineMs: number;

  constructor(options: MoveOptions, from: string, deadlineMs: number) {
    this.#options = options;
    this.#from = from;
    this.#deadlineMs = deadlineMs;
  }

  async join(): Promise<void> {
    const {to, image} = this.#options;
    if ((await this.#there()) !== undefined) return;
    this.#tell(`join: ${to} gets a replica`);
    const body: MoveJoinRequest = {to, ...(image === undefined ? {} : {image})};
    await this.#ask('join', body, JOIN_SECONDS, `mars resource join ${this.#options.name}`);
    await this.#until(
      `${to} to tell of its replica`,
      async () => (await this.#there()) !== undefined,
    );
  }

  async sync(): Promise<void> {
    const {name, to, stream} = this.#options;
    let progress: Progress | undefined;
    let there: ReplicaStatus | undefined;
    try {
      await this.#until(
        `${to} to have the whole image`,
        async () => {
          there = await this.#there();
          if (there?.sync != null) {
            const {doneBytes, totalBytes} = there.sync;
            const label = `copy ${name}`;
            progress ??= await startProgress({label, totalBytes, startBytes: doneBytes, stream});
            progress.update(doneBytes);
          }

          return there?.link === 'up' && isWhole(there);
        },
        () =>
          `${to} is ${there?.state ?? 'unknown'}${there?.waitingFor == null ? '' : `: ${there.waitingFor.reason}`}`,
      );
    } finally {
      progress?.end();
    }
  }

  async handOver(): Promise<void> {
    const {daemon, name, to} = this.#options;
    const status = await getStatusOf(daemon, name);
    if (!isPrimary(status)) return;
    this.#tell(`handover: ${to} becomes primary`);
    const timeoutSeconds = Math.max(1, Math.min(3600, this.#secondsLeft()));
    const body: MovePrimaryRequest = {to, timeoutSeconds};
    await this.#ask('primary', body, timeoutSeconds, `mars primary ${name}`);
  }

  /** Only when the other side, by its own word, holds what is removed here. */
  async leave(): Promise<void> {
    const {daemon, name, to} = this.#options;
    let why = '';
    await this.#until(
      `${this.#from} to be dispensable`,
      async () => {
        const status = await getStatusOf(daemon, name);
        why = obstacleOf(status, to);
        return why === '';
      },
      () => why,
    );
    this.#tell(`leave: the replica of ${this.#from} is removed`);
    const timeoutSeconds = Math.max(1, this.#secondsLeft());
    const body: LeaveRequest = {dryRun: false, confirmed: true, timeoutSeconds};
    await daemon.post(resourcePath(name, '/leave'), body, timeoutSeconds);
  }

  async #there(): Promise<ReplicaStatus | undefined> {
    const {daemon, name, to} = this.#options;
    return replicaOf(await getStatusOf(daemon, name), to);
  }

  async #ask(step: string, body: unknown, seconds: number, instead: string): Promise<void> {
    const {daemon, name, to} = this.#options;
    try {
      await daemon.post(resourcePath(name, `/move/${step}`), body, seconds);
    } catch (error) {
      const isOld = isDiskError(error, 'USAGE') || isDiskError(error, 'PEER_PROTOCOL');
      if (!isOld) throw error;
      const text = `${to} does not take this from another node (${error.message}): say ${instead} there, then this command again`;
      throw new DiskError('PEER_REFUSED', text, {node: to}, {cause: error});
    }
  }

  #tell(text: string): void {
    this.#options.remark(`${this.#options.name}: ${text}`);
  }

  #secondsLeft(): number {
    return (this.#deadlineMs - performance.now()) / 1000;
  }

  async #until(
    what: string,
    condition: () => Promise<boolean>,
    describeNow: () => string = () => 'not yet',
  ): Promise<void> {
    let nextRemarkMs = performance.now() + REMARK_MS;
    while (!(await condition())) {
      const now = performance.now();
      if (now > this.#deadlineMs) {
        const {name, timeoutSeconds} = this.#options;
        const text = `${name} waited for ${what}, but ${describeNow()}; nothing is lost: say it again to go on`;
        throw new DiskError('TIMEOUT', text, {resource: name, timeoutSeconds});
      }

      if (now > nextRemarkMs) {
        nextRemarkMs = now + REMARK_MS;
        const left = Math.ceil(this.#secondsLeft());
        this.#tell(`waits for ${what}, ${left} s at most: ${describeNow()}`);
      }

      await pause(POLL_MS);
    }
  }
}

/** Why the replica here must not go yet; empty: it may. */
function obstacleOf(status: ResourceStatus, to: string): string {
  const there = replicaOf(status, to);
  if (isPrimary(status)) return 'it is still primary here';
  if (there === undefined) return `${to} tells of no replica`;
  if (there.link !== 'up') return `${to} is not heard of`;
  const granted = status.messages.find(({code}) => code === 'GRANT_UNCONFIRMED');
  if (granted !== undefined) return granted.text;
  if (status.state === 'Forked' || there.state === 'Forked') return 'the histories have parted';
  if (isPrimary(there) && there.state === 'UpToDate') return '';
  if (!isWhole(there)) return `${to} is ${there.state}`;
  const isBehind = status.position !== null && (there.durable ?? '') < status.position;
  return isBehind
    ? `${to} has the log up to ${there.durable ?? 'nowhere'}, here it ends at ${status.position}`
    : '';
}
