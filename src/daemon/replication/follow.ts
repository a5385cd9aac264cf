/**
 * Follows another replica, for one resource that is secondary here: keeps its disk process running,
 * chooses a source, and splices the source's stream to the disk process, which alone believes or
 * refuses what comes. First the image is copied (`sync`), where the disk process says so; then the
 * log is fetched.
 *
 *   not wanted   primary, detached, or no other replica is known: nothing is done
 *   waiting      with a reason, since when, and until when where it is a pause
 *   open         a stream runs; it is ended when a wish, the source or the phase changes
 *
 * A slow source gives way to another one (source-rates.ts); a folder (folder-source.ts) is the only one.
 *
 * Pauses grow from 0.2 s to 5 s and are short again after a stream that brought something.
 */
import type {Clock} from '../../core/clock.js';
import type {DiskFollow, DiskStatus, Waiting} from '../../core/disk-status.js';
import type {ErrorCode} from '../../core/codes.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import type {ResourceFile} from '../../core/home.js';
import type {Duplex} from 'node:stream';
import {chooseSource, isAhead, isFit, type Candidate, type Own} from './choose-source.js';
import type {StreamProtocol} from './disk-stream.js';
import {isCopying, nextOf} from './next-view.js';
import {numberOf} from './replica-state.js';
import {SourceRates} from './source-rates.js';
import type {FolderSource, FolderStep} from './folder-source.js';
import {splice} from './splice.js';
import {disconnectedReason, pausedReason} from './switches.js';
import type {SyncWait} from './sync-turns.js';
import {Wakeup} from './wakeup.js';

export const PAUSE_MS_FIRST = 200;
export const PAUSE_MS_MAX = 5000;
/** While a stream runs, and while there is nothing to do, it looks so often; a primary is woken by its wishes. */
const [LOOK_MS, PRIMARY_MS] = [500, 30_000] as const;
/** A folder that tells nothing of its changes is looked at so often. */
const FOLDER_LOOK_MS = 3000;
/** A source that refused is not the first choice for so long. */
const AVOID_MS = 15_000;
/** A stream that lasted so long was a good one. */
const GOOD_MS = 10_000;
const SILENCE_MS = {'mars-log/1': 9_000, 'mars-sync/1': 30_000} as const;
const LINGER_MS = 5000;
/** What a Follow needs of the daemon; fakes in tests. */
export interface FollowPorts {
  readonly clock: Clock;
  /** The wishes in force; undefined where the resource cannot be used. */
  readonly file: () => ResourceFile | undefined;
  /** Other nodes with a replica, from the facts. */
  readonly candidates: () => readonly Candidate[];
  /** true where this node knows that it is not the only one with a replica. */
  readonly isReplicated: () => boolean;
  /**
   * The disk process in mode `follow`, started where it does not run.
   *
   * @param isFresh true: what it said a moment ago does not count
   * @throws DiskError as the start of a disk process
   */
  readonly disk: (isFresh?: boolean) => Promise<DiskStatus>;
  /** What this replica has, as its lineage file says. */
  readonly own: (status: DiskStatus) => Own;
  readonly openPeer: (nodeId: string, protocol: StreamProtocol) => Promise<Duplex>;
  readonly openDisk: (protocol: StreamProtocol) => Promise<Duplex>;
  /** The image is to be copied again: the disk process is ended and told so by its sync.json. */
  readonly copyAgain: (reason: DiskError) => Promise<void>;
  /** Shows or takes back what the source said to this replica's history. */
  readonly noteAnswer: (follow: DiskFollow, source: string) => void;
  readonly noteFailure: (error: unknown) => void;
  /** How fast sources were; of its own where it is left out. */
  readonly rates?: SourceRates;
  /** At most so many copies at once on this node (sync-turns.ts). */
  readonly syncTurn: {
    /** Asked while a copy could begin, and while it runs. @returns undefined: it may */
    readonly take: () => SyncWait | undefined;
    /** It is not copied now. @param isDone true: it wants no copy any more */
    readonly leave: (isDone: boolean) => void;
  };
  /** Id of this node: it is its own source where a folder is followed. */
  readonly nodeId: string;
  /** The folder to follow; undefined: other nodes. */
  readonly folder: () => FolderSource | undefined;
  /** Shows what is wrong in the folder, or takes it back. */
  readonly noteFolder: (folder: FolderSource, step: FolderStep) => void;
}

export interface FollowState {
  readonly stage: 'idle' | 'waiting' | 'open';
  readonly flow: 'sync' | 'fetch' | null;
  /** The node that a stream is open to, or is tried to be opened to. */
  readonly source: {readonly nodeId: string; readonly name: string} | null;
  /** Since when the stage is as it is; RFC 3339. */
  readonly since: string;
  readonly waiting: Waiting | null;
}

type Step =
  | {readonly kind: 'idle'; readonly flow: null; readonly isInLine?: undefined}
  | {
      readonly kind: 'wait';
      readonly flow: FollowState['flow'];
      readonly reason: string;
      /** Others are copied first. */
      readonly isInLine?: true;
    }
  | OpenStep;

interface OpenStep {
  readonly kind: 'open';
  readonly protocol: StreamProtocol;
  readonly source: {readonly nodeId: string; readonly name: string};
  readonly isPrimary?: boolean;
  /** Where it is no other node. */
  readonly folder?: FolderSource;
}

/** One per resource, from the load of the resource to the end of the daemon. */
export class Follow {
  readonly #ports: FollowPorts;
  readonly #wakeup = new Wakeup();
  readonly #avoided = new Map<string, number>();
  readonly #rates: SourceRates;
  #preferred: string | undefined;
  #state: FollowState;
  #pauseMs = PAUSE_MS_FIRST;
  /** The last copy was complete. */
  #isCopied = false;

  constructor(ports: FollowPorts) {
    this.#ports = ports;
    this.#rates = ports.rates ?? new SourceRates();
    this.#state = {stage: 'idle', flow: null, source: null, since: this.#now(), waiting: null};
  }

  get state(): FollowState {
    return this.#state;
  }

  /** true where the resource should follow; nobody else then runs a disk process for it. */
  get isWanted(): boolean {
    const file = this.#ports.file();
    return file?.designatedRole === 'secondary' && file.attached && this.#ports.isReplicated();
  }

  /** The next copy comes from this node and no other; until it is done. */
  prefer(nodeId: string): void {
    this.#preferred = nodeId;
  }

  /** Something has changed: a wish, the facts. */
  poke(): void {
    this.#wakeup.wake();
  }

  /** Goes on until `signal`; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const pauseMs = await this.#step(signal);
      const isPrimary = this.#ports.file()?.designatedRole === 'primary';
      if (pauseMs > 0) await this.#wakeup.wait(isPrimary ? PRIMARY_MS : pauseMs, signal);
    }
  }

  /** One look, and one stream where there is one to open. @returns how long to pause */
  async #step(signal: AbortSignal): Promise<number> {
    try {
      const step = this.isWanted
        ? await this.#choose(await this.#ports.disk())
        : ({kind: 'idle', flow: null} as const);
      this.#leaveLine(step);
      if (step.kind === 'idle') return this.#idle();
      if (step.kind === 'wait') {
        const {folder, nodeId} = this.#ports;
        const from = folder();
        this.#wait(
          step.flow,
          step.reason,
          null,
          from === undefined ? null : {nodeId, name: from.name},
        );
        return from === undefined ? LOOK_MS : FOLDER_LOOK_MS;
      }

      return await this.#follow(step, signal);
    } catch (error) {
      if (!isDiskError(error, 'RESOURCE_UNKNOWN')) this.#ports.noteFailure(error);
      return this.#back(this.#state.flow, error);
    }
  }

  /** Nobody waits for the turn of a resource that is not about to be copied. */
  #leaveLine(step: Step): void {
    const wantsCopy = step.kind === 'open' ? step.protocol === 'mars-sync/1' : step.flow === 'sync';
    const isInLine = step.kind === 'open' ? wantsCopy : step.isInLine === true;
    if (!isInLine) this.#ports.syncTurn.leave(!wantsCopy);
  }

  #idle(): number {
    this.#pauseMs = PAUSE_MS_FIRST;
    this.#set({stage: 'idle', flow: null, source: null, waiting: null});
    return LOOK_MS;
  }

  /** What is to be done now: with the folder, where one is followed. */
  async #choose(status: DiskStatus): Promise<Step> {
    const folder = this.#ports.folder();
    if (folder === undefined) return this.#plan(status);
    const obstacle = this.#obstacle(status, folder);
    if (obstacle !== undefined) return obstacle;
    const {own, noteFolder, nodeId} = this.#ports;
    const step = await folder.look(status, own(status).lineage);
    noteFolder(folder, step);
    if (step.kind === 'wait') return step;
    const turn = step.protocol === 'mars-sync/1' ? this.#ports.syncTurn.take() : undefined;
    if (turn !== undefined) {
      return {kind: 'wait', flow: 'sync', reason: waitForTurn(turn), isInLine: true};
    }

    return {...step, source: {nodeId, name: folder.name}, folder};
  }

  /** What keeps this replica from following anybody. */
  #obstacle(status: DiskStatus, folder: FolderSource | undefined): Step | undefined {
    const wishes = this.#ports.file();
    if (wishes === undefined || !this.isWanted) return {kind: 'idle', flow: null};
    const follow = status.follow ?? undefined;
    if (follow === undefined || status.phase === 'starting' || status.phase === 'recovering') {
      return {kind: 'wait', flow: null, reason: 'the disk process reads its log'};
    }

    if (follow.next?.phase === 'switching') {
      return {kind: 'wait', flow: null, reason: 'what was fetched is put in place'};
    }

    const copying = isCopying(follow);
    const flow = copying ? 'sync' : 'fetch';
    const paused = copying ? wishes.syncPaused : wishes.fetchPaused;
    // Files are brought by others: the wish is about connections.
    if (wishes.connected === false && folder === undefined) {
      return {kind: 'wait', flow, reason: disconnectedReason(wishes.name)};
    }

    if (paused !== true) return undefined;
    return {kind: 'wait', flow, reason: pausedReason(flow, wishes.name)};
  }

  /** What is to be done now, from wishes, facts and the disk process. */
  #plan(status: DiskStatus): Step {
    const obstacle = this.#obstacle(status, undefined);
    if (obstacle !== undefined) return obstacle;
    const {candidates, own} = this.#ports;
    const copying = status.follow != null && isCopying(status.follow);
    const flow = copying ? 'sync' : 'fetch';
    if (!copying) this.#preferred = undefined;
    const preferred = this.#preferred;
    const fit = candidates().filter(({nodeId}) => preferred === undefined || nodeId === preferred);
    const here = {...own(status), copying};
    const {source, reason} = chooseSource(here, fit, this.#avoidedNow(), this.#slowNow());
    if (source === undefined) return {kind: 'wait', flow, reason};
    const isPrimary = source.facts.role === 'primary';
    if (!copying) return {kind: 'open', protocol: 'mars-log/1', source, isPrimary};
    const turn = this.#ports.syncTurn.take();
    if (turn === undefined) return {kind: 'open', protocol: 'mars-sync/1', source, isPrimary};
    return {kind: 'wait', flow, reason: waitForTurn(turn), isInLine: true};
  }

  async #follow(step: OpenStep, signal: AbortSignal): Promise<number> {
    if (step.protocol === 'mars-log/1') return this.#stream(step, signal);
    try {
      return await this.#stream(step, signal);
    } finally {
      this.#ports.syncTurn.leave(this.#isCopied);
    }
  }

  async #stream(step: OpenStep, signal: AbortSignal): Promise<number> {
    this.#isCopied = false;
    const {openPeer, openDisk, disk, noteAnswer, noteFailure} = this.#ports;
    const {protocol, source, folder} = step;
    const flow = protocol === 'mars-sync/1' ? 'sync' : 'fetch';
    const named = {nodeId: source.nodeId, name: source.name};
    let peer: Duplex;
    try {
      peer = folder?.open(protocol) ?? (await openPeer(source.nodeId, protocol));
    } catch (error) {
      this.#avoid(source.nodeId);
      return this.#back(flow, error, named);
    }

    // Nobody else listens while the disk process is asked.
    peer.on('error', () => undefined);
    let local: Duplex;
    try {
      local = await openDisk(protocol);
    } catch (error) {
      peer.destroy();
      noteFailure(error);
      return this.#back(flow, error, named);
    }

    this.#set({stage: 'open', flow, source: named, waiting: null});
    this.#rates.begin(source.nodeId);
    const beganMs = this.#ports.clock.monotonicMs();
    const {bytes, error} = await this.#splice(peer, local, step, signal);
    const lastedMs = this.#ports.clock.monotonicMs() - beganMs;
    if (signal.aborted) return 0;
    // What was said before this stream may be the answer to another one.
    const after = (await disk(true)).follow ?? undefined;
    if (after !== undefined) noteAnswer(after, source.name);
    const refusal = refusalOf(after);
    if (refusal !== undefined) {
      this.#avoid(source.nodeId);
      // What a folder lacks may still be brought.
      if (folder !== undefined && refusal.code === 'LOG_GONE')
        return this.#back(flow, refusal, named);
      // Nothing of this replica's own is lost by it: its image is compared, and a tail that only it has
      // is kept aside.
      if (refusal.code === 'LOG_GONE' || refusal.code === 'ORIGIN_LOST_DATA') {
        await this.#ports.copyAgain(refusal);
      }

      return this.#back(flow, refusal, named);
    }

    // A copy that ended is followed by the log at once.
    if (flow === 'sync' && after !== undefined && !isCopying(after)) {
      this.#isCopied = true;
      return 0;
    }

    const fault = folder?.takeFault();
    if (fault !== undefined) return this.#back(flow, fault, named);
    if (folder !== undefined && error === undefined) return 0;
    if (lastedMs > GOOD_MS || (bytes > 0 && error === undefined)) this.#pauseMs = PAUSE_MS_FIRST;
    return this.#back(
      flow,
      error ?? new DiskError('PEER_UNREACHABLE', `${source.name} ended the stream`),
      named,
    );
  }

  /** Splices while this is still what is wanted. */
  async #splice(peer: Duplex, local: Duplex, step: OpenStep, signal: AbortSignal) {
    const change = new AbortController();
    const over = new AbortController();
    const watch = async (): Promise<void> => {
      for (;;) {
        await this.#wakeup.wait(LOOK_MS, over.signal);
        if (over.signal.aborted) return;
        if (await this.#isOutdated(step)) change.abort();
      }
    };
    const watching = watch();
    const result = await splice(peer, local, {
      silenceMs: SILENCE_MS[step.protocol],
      lingerMs: LINGER_MS,
      signal: AbortSignal.any([signal, change.signal]),
    });
    over.abort();
    await watching;
    return result;
  }

  async #isOutdated(step: OpenStep): Promise<boolean> {
    try {
      if (!this.isWanted || this.#ports.folder() !== step.folder) return true;
      const status = await this.#ports.disk();
      if (step.folder !== undefined) {
        const obstacle = this.#obstacle(status, step.folder);
        return obstacle?.kind === 'wait' && obstacle.flow !== null;
      }

      this.#noteProgress(status);
      const now = this.#plan(status);
      if (now.kind !== 'open') return now.kind === 'idle' || now.flow !== null;
      // The end of a copy is the disk process's own affair: it ends the stream itself.
      if (now.protocol !== step.protocol) return false;
      if (now.source.nodeId === step.source.nodeId) return false;
      const slow = this.#slowNow();
      // Who is slow, be it the primary, is no reason to leave another one.
      if (slow.has(now.source.nodeId)) return false;
      return now.isPrimary === true || slow.has(step.source.nodeId);
    } catch {
      return false; // the stream itself ends when its disk process does
    }
  }

  /** Measures the source while we are behind. */
  #noteProgress(status: DiskStatus): void {
    const {candidates, own, clock} = this.#ports;
    const follow = status.follow ?? undefined;
    if (follow === undefined) return;
    const copying = isCopying(follow);
    const here = {...own(status), copying};
    const fit = candidates().filter(
      (each) => each.linkUp && (copying ? isFit(here, each) : isAhead(here, each.facts)),
    );
    const ends = fit.map(({facts}) => facts.position ?? '');
    const next = nextOf(follow);
    const sync = next ?? follow.sync;
    const received = numberOf(next?.received ?? follow.received);
    const done = copying ? (sync?.doneBytes ?? 0) : received;
    const end = copying
      ? (sync?.totalBytes ?? 0)
      : numberOf([...ends, follow.originEnd ?? ''].sort().at(-1) ?? '');
    const others = fit
      .map(({nodeId}) => nodeId)
      .filter((nodeId) => this.#preferred === undefined || nodeId === this.#preferred);
    this.#rates.note(done, end - done, others, clock.monotonicMs());
  }

  #slowNow(): ReadonlySet<string> {
    return this.#rates.slow(this.#ports.clock.monotonicMs());
  }

  #avoid(nodeId: string): void {
    this.#avoided.set(nodeId, this.#ports.clock.monotonicMs() + AVOID_MS);
  }

  #avoidedNow(): Set<string> {
    const now = this.#ports.clock.monotonicMs();
    for (const [nodeId, untilMs] of this.#avoided) {
      if (untilMs <= now) this.#avoided.delete(nodeId);
    }

    return new Set(this.#avoided.keys());
  }

  /** Pauses after a failure, each time longer. */
  #back(flow: FollowState['flow'], error: unknown, source: FollowState['source'] = null): number {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX);
    const words = error instanceof Error ? error.message : String(error);
    const reason = isDiskError(error) ? `${error.code}: ${words}` : words;
    this.#wait(flow, reason, pauseMs, source);
    return pauseMs;
  }

  #wait(
    flow: FollowState['flow'],
    reason: string,
    pauseMs: number | null,
    source: FollowState['source'] = null,
  ): void {
    const before = this.#state.waiting;
    const until =
      pauseMs === null ? null : new Date(this.#ports.clock.wallMs() + pauseMs).toISOString();
    // What is waited for may change its words; since when nothing comes does not.
    const since = this.#state.stage === 'waiting' && before !== null ? before.since : this.#now();
    this.#set({stage: 'waiting', flow, source, waiting: {reason, since, until}});
  }

  #set(state: Omit<FollowState, 'since'>): void {
    const same = state.stage === this.#state.stage && state.flow === this.#state.flow;
    this.#state = {...state, since: same ? this.#state.since : this.#now()};
  }

  #now(): string {
    return new Date(this.#ports.clock.wallMs()).toISOString();
  }
}

function waitForTurn({limit, ahead}: SyncWait): string {
  const names = ahead.join(', ');
  return `at most ${limit} ${limit === 1 ? 'image is' : 'images are'} copied at once on this node (mars sync limit): before it ${names}`;
}

/** What the source refused; undefined where it gives. */
export function refusalOf(follow: DiskFollow | undefined): DiskError | undefined {
  const answer = follow?.answer ?? undefined;
  if (follow === undefined || follow.connected || answer === undefined) return undefined;
  const refusal = (code: ErrorCode, text: string, position?: string): DiskError => {
    const at = position === undefined ? {} : {position};
    return new DiskError(code, answer.text ?? text, {received: follow.received, ...at});
  };
  switch (answer.kind) {
    case 'follow':
    case 'cut':
      return undefined;
    case 'gone': {
      const oldest = answer.oldest ?? 'nowhere';
      const text = `the source keeps its log from ${oldest} on, needed is ${follow.received}`;
      return refusal('LOG_GONE', text);
    }

    case 'forked': {
      const at = answer.position ?? 'an unknown position';
      const code = answer.code === 'ORIGIN_LOST_DATA' ? 'ORIGIN_LOST_DATA' : 'SPLIT_BRAIN';
      return refusal(code, `the histories part at ${at}`, answer.position);
    }

    case 'unknown':
      return refusal('HISTORY_UNKNOWN', 'the source knows nothing of the history here');
    case 'behind':
      return refusal('SOURCE_BEHIND', 'the source has less than this replica');
    case 'refused':
      return refusal('PEER_REFUSED', 'the source refused');
  }
}
