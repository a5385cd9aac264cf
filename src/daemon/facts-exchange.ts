/**
 * Brings the facts of this node to all members and theirs here: each node posts what it knows and is
 * answered with the same. A member is called when something is known that it has not shown to
 * know, and in any case every few seconds, so that silence means that something is wrong. What it
 * knows is not sent again: a link on which nothing happens shall cost next to nothing.
 *
 * Besides facts goes a digest of the list of members; where it differs, the lists are exchanged.
 */
import {createHash} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';
import {
  checkNews,
  contentOf,
  FACTS_LINEAGE_MAX,
  type DeletedResource,
  type FactStore,
  type ResourceFacts,
  type Versions,
} from '../cluster/facts.js';
import type {Cluster, Member} from '../cluster/members.js';
import type {PeerCaller} from '../cluster/peer-caller.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {isObject} from '../core/json-file.js';
import {clockOffset, isSkewed, skewText, type ClockOffset} from './clock-skew.js';
import type {Context} from './context.js';

/** How often own facts are looked at, and changes are told. */
const TICK_MS = 1_000;
/** At least so often, each node is heard of: a third of what makes a link count as down. */
const QUIET_MS = 3_000;
/** Who calls us need not be called, but the way to it is tried now and then. */
const TRY_MS = 20_000;
/** A member that did not answer is asked again after pauses up to this. */
const RETRY_MAX_MS = 10_000;
/** Heard of within this: the link is up. */
export const LINK_UP_MS = 10_000;
/** Between a touch and the exchange: several changes become one. */
const SETTLE_MS = 50;

/** What is known of the way to a member. */
export interface PeerLink {
  readonly up: boolean;
  /** RFC 3339: since when it is as it is; null: it was never seen. */
  readonly since: string | null;
  readonly lastHeardAt: string | null;
  /** How far its clock is ahead of the one here; null: it was not told. */
  readonly clockOffsetSeconds: number | null;
  /** It is another one, by more than the call took and a few seconds. */
  readonly isClockSkewed: boolean;
  /** Why the last call failed; null after one that did not. */
  readonly error: {readonly code: string; readonly message: string} | null;
}

const UNKNOWN_LINK: PeerLink = {
  ...{up: false, since: null, lastHeardAt: null, clockOffsetSeconds: null},
  ...{isClockSkewed: false, error: null},
};

interface Peer {
  /** Versions of facts that it has shown to know, by node. */
  knows: Versions;
  /** It is no older version: it may be told only what is new to it. */
  saysWhatItKnows: boolean;
  busy: boolean;
  heardMs: number | undefined;
  heardAt: string | null;
  /** When it was to be called last; long ago: it is to be called now. */
  triedMs: number;
  calledMs: number;
  failures: number;
  error: DiskError | undefined;
  clock: ClockOffset | undefined;
  isSkewed: boolean;
  up: boolean;
  since: string | null;
}

export interface ExchangeOptions {
  readonly context: Context;
  readonly store: FactStore;
  readonly caller: PeerCaller;
  /** Members to talk to. */
  readonly members: () => readonly Member[];
  readonly cluster: () => Cluster;
  /** A member has another list: what it knows is taken over. */
  readonly takeMembers: (body: unknown) => void;
  readonly address: () => string;
  readonly ownResources: () => Promise<readonly ResourceFacts[]>;
  /** Names of those of which nothing else can be told. */
  readonly unreadable: () => readonly string[];
  /** Resources that were deleted here for good. */
  readonly deleted: () => readonly DeletedResource[];
}

/** The loop that exchanges facts. */
export class FactsExchange {
  readonly #options: ExchangeOptions;
  readonly #peers = new Map<string, Peer>();
  readonly #abort = new AbortController();
  #wake: () => void = () => undefined;
  #touched = false;
  #ownText = '';
  /** What #ownText was made of: the same again makes the same. */
  #ownFrom: readonly unknown[] = [];
  #ownMs = -Infinity;
  #loop: Promise<void> | undefined;
  readonly #calls = new Set<Promise<void>>();

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#wake();
    await this.#loop;
    await Promise.all(this.#calls);
  }

  /** Something of this node changed: others hear of it now and not at the next tick. */
  touch(): void {
    this.#touched = true;
    this.#wake();
  }

  link(memberId: string): PeerLink {
    const peer = this.#peers.get(memberId);
    if (peer === undefined) return UNKNOWN_LINK;
    const {error, clock} = peer;
    return {
      up: this.#isUp(peer),
      since: peer.since,
      lastHeardAt: peer.heardAt,
      clockOffsetSeconds: clock === undefined ? null : Math.round(clock.offsetMs / 100) / 10,
      isClockSkewed: peer.isSkewed,
      error: error === undefined ? null : {code: error.code, message: error.message},
    };
  }

  /**
   * Answers a POST of facts by a member, with own facts of this very moment: who comes back after an
   * absence asks here whether somebody else became primary meanwhile.
   *
   * @throws DiskError PEER_PROTOCOL
   */
  async answer(caller: Member, body: unknown): Promise<unknown> {
    const news = checkNews(body);
    const peer = this.#peer(caller);
    this.#take(peer, news);
    this.#heard(caller, peer);
    const digest = isObject(body) ? body['members'] : undefined;
    if (digest !== membersDigest(this.#options.cluster())) {
      peer.triedMs = -Infinity;
      peer.calledMs = -Infinity;
      this.touch();
    }

    await this.#renewOwn();
    return this.#body(news.knows);
  }

  /** @param theirs what the other side knows; undefined: it did not say, and gets all */
  #body(theirs: Versions | undefined): object {
    const {store, cluster} = this.#options;
    const now = new Date(this.#options.context.clock.wallMs()).toISOString();
    return {...store.news(theirs), members: membersDigest(cluster()), knows: store.versions(), now};
  }

  async #run(): Promise<void> {
    const {signal} = this.#abort;
    while (!signal.aborted) {
      try {
        await this.#tick();
      } catch (error) {
        this.#options.context.log.error({err: error}, 'facts could not be exchanged');
      }

      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    if (!this.#touched) {
      const timer = new AbortController();
      this.#wake = () => {
        timer.abort();
      };
      const signal = AbortSignal.any([timer.signal, this.#abort.signal]);
      await sleep(TICK_MS, undefined, {signal}).catch(() => undefined);
    }

    this.#wake = () => undefined;
    if (this.#touched && !this.#abort.signal.aborted) await sleep(SETTLE_MS);
    this.#touched = false;
  }

  async #tick(): Promise<void> {
    await this.#renewOwn();
    const {members, context, store, cluster} = this.#options;
    const now = context.clock.monotonicMs();
    const active = new Set(members().map(({id}) => id));
    store.keep((id) => active.has(id));
    for (const id of this.#peers.keys()) if (!active.has(id)) this.#peers.delete(id);
    const digest = membersDigest(cluster());
    for (const member of members()) {
      const peer = this.#peer(member);
      this.#noteLink(member, peer);
      if (!peer.busy && this.#isDue(peer, now)) this.#begin(member, peer, digest);
    }
  }

  /** New facts of this node, with a new version where something changed or time has passed. */
  async #renewOwn(): Promise<void> {
    const {context, store, address, ownResources, unreadable, deleted} = this.#options;
    const {node, clock} = context;
    const own = await ownResources();
    const names = unreadable();
    const gone = deleted();
    const goneIds = gone.map(({id}) => id).join();
    const from = [node, address(), names.join(), goneIds, ...own];
    const now = clock.monotonicMs();
    const before = store.get(node.id);
    const newest = store.nextVersion(0) === (before?.version ?? -1) + 1;
    const isRecent = before !== undefined && newest && now - this.#ownMs < QUIET_MS / 2;
    const isKept = from.length === this.#ownFrom.length;
    if (isRecent && isKept && from.every((each, at) => each === this.#ownFrom[at])) return;

    this.#ownFrom = from;
    const resources = own.map((each) => ({
      ...each,
      lineage: each.lineage.slice(-FACTS_LINEAGE_MAX),
    }));
    const facts = {
      ...{nodeId: node.id, name: node.name, address: from[1] as string, resources},
      ...(names.length === 0 ? {} : {unreadable: [...names]}),
      ...(gone.length === 0 ? {} : {deleted: [...gone]}),
    };
    const text = JSON.stringify(facts);
    const isSame = before !== undefined && newest && text === this.#ownText;
    if (isSame && isRecent) return;
    this.#ownText = text;
    this.#ownMs = now;
    const version = store.nextVersion(clock.wallMs());
    const content = isSame ? contentOf(before) : version;
    store.own({...facts, version, content, at: new Date(clock.wallMs()).toISOString()}, now);
  }

  #isDue(peer: Peer, now: number): boolean {
    const sinceMs = now - peer.triedMs;
    if (peer.failures > 0) return sinceMs >= Math.min(RETRY_MAX_MS, TICK_MS * peer.failures);
    const heardMs = Math.max(peer.heardMs ?? -Infinity, peer.triedMs);
    if (now - heardMs >= QUIET_MS || now - peer.calledMs >= TRY_MS) return true;
    return this.#options.store.news(peer.knows).facts.length > 0;
  }

  #begin(member: Member, peer: Peer, digest: string): void {
    peer.busy = true;
    peer.triedMs = this.#options.context.clock.monotonicMs();
    peer.calledMs = peer.triedMs;
    const call = this.#exchange(member, peer, digest)
      .then(
        () => {
          peer.failures = 0;
          peer.error = undefined;
        },
        (error: unknown) => {
          peer.failures += 1;
          peer.error = isDiskError(error) ? error : new DiskError('BUG', String(error));
          if (!isDiskError(error)) this.#options.context.log.error({err: error}, 'exchange failed');
        },
      )
      .finally(() => {
        peer.busy = false;
        this.#calls.delete(call);
        // What changed during the call is told at once.
        if (this.#isDue(peer, this.#options.context.clock.monotonicMs())) this.#wake();
      });
    this.#calls.add(call);
  }

  async #exchange(member: Member, peer: Peer, digest: string): Promise<void> {
    const {caller, cluster, takeMembers} = this.#options;
    const {store} = this.#options;
    // Who does not say what it knows, an older version, is told everything.
    const told = store.versions();
    const sent = this.#body(peer.saysWhatItKnows ? peer.knows : undefined);
    const sentAt = this.#now();
    const answer = await caller.call<unknown>(member, 'POST', 'facts', sent);
    if (isObject(answer)) {
      this.#noteClock(member, peer, clockOffset(sentAt, this.#now(), answer['now']));
    }

    const news = checkNews(answer);
    this.#take(peer, news);
    if (news.knows === undefined) learn(peer, told);
    this.#heard(member, peer);
    if (!isObject(answer) || answer['members'] === digest) return;
    const {id, members} = cluster();
    takeMembers(await caller.call<unknown>(member, 'POST', 'members', {id, members}));
  }

  #take(peer: Peer, news: ReturnType<typeof checkNews>): void {
    const {store, context, members} = this.#options;
    const active = new Set(members().map(({id}) => id));
    const now = context.clock.monotonicMs();
    store.merge(news.facts, now, (id) => active.has(id));
    store.mergeBeats(news.beats, now);
    peer.saysWhatItKnows = news.knows !== undefined;
    // It may have forgotten what it once knew: its own word counts.
    if (news.knows !== undefined) peer.knows = news.knows;
    else learn(peer, Object.fromEntries(news.facts.map((each) => [each.nodeId, each.version])));
  }

  #peer(member: Member): Peer {
    let peer = this.#peers.get(member.id);
    if (peer === undefined) {
      peer = {
        knows: {},
        saysWhatItKnows: false,
        busy: false,
        heardMs: undefined,
        heardAt: null,
        triedMs: -Infinity,
        calledMs: -Infinity,
        failures: 0,
        error: undefined,
        clock: undefined,
        isSkewed: false,
        up: false,
        since: null,
      };
      this.#peers.set(member.id, peer);
    }

    return peer;
  }

  #heard(member: Member, peer: Peer): void {
    const {clock} = this.#options.context;
    peer.heardMs = clock.monotonicMs();
    peer.heardAt = new Date(clock.wallMs()).toISOString();
    this.#noteLink(member, peer);
  }

  #isUp(peer: Peer): boolean {
    const now = this.#options.context.clock.monotonicMs();
    return peer.heardMs !== undefined && now - peer.heardMs < LINK_UP_MS;
  }

  #now(): {readonly wallMs: number; readonly monotonicMs: number} {
    const {clock} = this.#options.context;
    return {wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs()};
  }

  #noteClock({name}: Member, peer: Peer, clock: ClockOffset | undefined): void {
    if (clock === undefined) return;
    const {context} = this.#options;
    const was = peer.isSkewed;
    peer.clock = clock;
    peer.isSkewed = isSkewed(clock, was);
    if (peer.isSkewed === was) return;
    const details = {peer: name, offsetSeconds: Math.round(clock.offsetMs / 1000)};
    if (was) context.tell('CLOCK_RIGHT', 'info', null, `${name} has the same time again`, details);
    else context.tell('CLOCK_SKEW', 'warning', null, skewText(name, clock.offsetMs), details);
  }

  #noteLink(member: Member, peer: Peer): void {
    const up = this.#isUp(peer);
    if (up === peer.up) return;
    const {context} = this.#options;
    peer.up = up;
    peer.since = new Date(context.clock.wallMs()).toISOString();
    const {name} = member;
    if (up) context.tell('PEER_UP', 'info', null, `${name} answers`, {peer: name});
    else {
      const why = peer.error === undefined ? '' : `: ${peer.error.message}`;
      context.tell('PEER_DOWN', 'warning', null, `${name} was not heard of for 10 s${why}`, {
        peer: name,
      });
    }
  }
}

function learn(peer: Peer, versions: Versions): void {
  const knows = {...peer.knows};
  for (const [nodeId, version] of Object.entries(versions)) {
    knows[nodeId] = Math.max(version, knows[nodeId] ?? -1);
  }

  peer.knows = knows;
}

/** What two nodes compare to see whether their lists say the same; addresses are each node's own. */
export function membersDigest(cluster: Cluster): string {
  const lines = cluster.members
    .map(({id, name, fingerprint, addedAt, removed}) =>
      [id, name, fingerprint, Date.parse(addedAt), removed === true].join(' '),
    )
    .sort();
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}
