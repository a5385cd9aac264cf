/**
 * The synchronous modes of a disk that serves: which flushes wait for replicas, and for how long.
 * The main thread owns it. What replicas confirm comes from the daemon, over the socket; who waits,
 * and the time, are looked at here, so a daemon that is dead or silent is no more than a replica
 * that does not confirm.
 *
 *   phase      flushes wait   degraded file   next
 *   async      no             whole           inForce, by a setting
 *   inForce    yes            whole           degraded: the oldest has waited for degrade-after
 *   degraded   no             degraded        returning: enough replicas confirm within a second
 *                                             what was appended
 *   returning  yes            degraded        inForce: all that was answered before is confirmed;
 *                                             degraded: a flush has waited for degrade-after
 *
 * The file is durable, and status and events tell, before the first flush is answered without
 * replicas; it is made whole only when every flush that was answered is with the replicas again.
 */
import type {Clock} from '../core/clock.js';
import type {DiskSynchronous} from '../core/disk-status.js';
import {DiskError, storeError} from '../core/errors.js';
import type {EventInput} from '../core/events.js';
import type {Files} from '../core/files.js';
import {isSameMode, type ModeSettings} from '../core/mode.js';
import {formatPosition} from '../core/position.js';
import {Confirmations, type Confirmation} from './confirmations.js';
import {DegradedFile, type Degraded} from './degraded-file.js';
import type {Notices} from './notices.js';
import {WORD, type Shared} from './shared.js';

/** What replicas are asked for. */
export interface Want {
  readonly position: number;
  readonly durably: boolean;
}

export interface SyncModeOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly shared: Shared;
  readonly notices: Notices;
  readonly directory: string;
  readonly degradedFile: string;
  readonly event: (input: Omit<EventInput, 'node' | 'resource'>) => void;
  /** Asks replicas, by way of the daemon. @returns false where no daemon is there */
  readonly ask: (want: Want) => boolean;
}

type Phase = 'async' | 'inForce' | 'degraded' | 'returning';

/** Confirmed so recently, a replica counts; it says something at least once a second. */
const COUNTED_MS = 3500;
/** A flush that waits longer is told of. */
const TOLD_MS = 1000;
/** Replicas that confirm within this time what was appended have caught up. */
const CAUGHT_UP_MS = 1000;
const ASK_AGAIN_MS = 1000;
/** How often `step` is to be called while the mode is not async. */
export const SYNC_STEP_MS = 100;

/** One for the life of a process that serves. */
export class SyncMode {
  readonly #options: SyncModeOptions;
  readonly #file: DegradedFile;
  readonly #confirmations = new Confirmations();
  #settings: ModeSettings = {mode: 'async', syncReplicas: 1, degradeAfterSeconds: null};
  #phase: Phase = 'async';
  #degraded: Degraded | undefined;
  /** The file says so. */
  #isWritten = true;
  #epoch: string | undefined;
  /** The flush that is waited with, and since when. */
  #waiting: {readonly target: number; readonly sinceMs: number} | undefined;
  /** Of `degraded`: what replicas are to confirm, and when that was asked. */
  #checkpoint: {readonly position: number; readonly atMs: number} | undefined;
  /** Of `returning`: nothing below it was ever answered without replicas when it is confirmed. */
  #returnAt = 0;
  #askedMs = -Infinity;
  #isTold = false;

  constructor(options: SyncModeOptions) {
    this.#options = options;
    this.#file = new DegradedFile(options.files, options.directory, options.degradedFile);
  }

  get settings(): ModeSettings {
    return this.#settings;
  }

  /** Before anything is answered in this life. */
  start(settings: ModeSettings): void {
    this.#settings = settings;
    if (settings.mode !== 'async') this.#begin();
  }

  /** Counts for every flush that comes when this has returned. */
  configure(settings: ModeSettings): void {
    const before = this.#settings;
    if (isSameMode(before, settings)) return;
    this.#settings = settings;
    const {shared} = this.#options;
    if (settings.mode === 'async') {
      this.#leave();
      return;
    }

    // What was confirmed in another way does not count.
    shared.confirmed.set(0);
    if (before.mode === 'async') this.#begin();
    else if (this.#phase === 'degraded' && settings.degradeAfterSeconds === null) this.#return();
    this.#restartWaiting();
    this.#count();
  }

  /** The log has this epoch from now on. */
  activated(epoch: string): void {
    this.#epoch = epoch;
    this.#confirmations.clear();
  }

  /** The front has a flush that waits. */
  flushWaits(): void {
    const {shared, clock} = this.#options;
    shared.set(WORD.confirmWanted, 0);
    const target = shared.newestWaiting;
    if (target < 0 || !this.#isWaitedFor) return;
    this.#waiting ??= {target, sinceMs: clock.monotonicMs()};
    this.#ask(target);
  }

  /** A daemon is there again: it is told what is waited for. */
  daemonCame(): void {
    if (this.#waiting !== undefined) this.#ask(this.#options.shared.newestWaiting);
    this.#checkpoint = undefined;
  }

  /** A replica has this much of the history of `epoch`. */
  confirm(epoch: string, confirmation: Omit<Confirmation, 'heardMs'>): void {
    const {shared, clock} = this.#options;
    if (epoch !== this.#epoch) return;
    // Nobody can have what was never appended: it is the word of another history, or of a fault.
    if (confirmation.received > shared.appended.get()) return;
    this.#confirmations.note({...confirmation, heardMs: clock.monotonicMs()});
    this.#count();
  }

  /** What time brings. */
  step(): void {
    if (this.#phase === 'async') return;
    const now = this.#options.clock.monotonicMs();
    if (this.#phase === 'degraded') this.#tryReturn(now);
    else this.#count();
    if (this.#waiting === undefined) return;
    if (now - this.#askedMs >= ASK_AGAIN_MS) this.#ask(this.#options.shared.newestWaiting);
    const waitedMs = now - this.#waiting.sinceMs;
    if (waitedMs >= TOLD_MS) this.#tell();
    const {degradeAfterSeconds} = this.#settings;
    if (degradeAfterSeconds !== null && waitedMs >= degradeAfterSeconds * 1000) this.#degrade();
  }

  /** undefined: async. */
  status(daemonUp: boolean): DiskSynchronous | null {
    if (this.#phase === 'async') return null;
    const {shared, clock} = this.#options;
    const now = clock.monotonicMs();
    return {
      ...this.#settings,
      degraded: this.#degraded ?? null,
      confirmed: formatPosition(shared.confirmed.get()),
      flushesWaiting: this.#isWaitedFor ? Math.max(0, shared.waitingCount) : 0,
      daemonUp,
      replicas: this.#confirmations.all().map(({node, name, received, durable, heardMs}) => ({
        node,
        name,
        received: formatPosition(received),
        durable: formatPosition(durable),
        counted: daemonUp && now - heardMs < COUNTED_MS,
      })),
    };
  }

  get #isWaitedFor(): boolean {
    return this.#phase === 'inForce' || this.#phase === 'returning';
  }

  #begin(): void {
    let degraded: Degraded | undefined;
    try {
      degraded = this.#file.load();
    } catch (error) {
      // Whether the last life was degraded is not known: then it was.
      const {message} = this.#trouble(error, 'read the state of the mode');
      degraded = {since: this.#now(), reason: message};
      this.#isWritten = this.#write(degraded);
    }

    this.#degraded = degraded;
    if (degraded === undefined) {
      this.#enforce('inForce');
      return;
    }

    this.#showDegraded(degraded);
    if (this.#settings.degradeAfterSeconds === null || !this.#isWritten) this.#return();
    else this.#phase = 'degraded';
  }

  #enforce(phase: 'inForce' | 'returning'): void {
    this.#phase = phase;
    this.#options.shared.set(WORD.synchronous, 1);
  }

  /** Flushes are answered by this node alone from now on. */
  #release(phase: 'async' | 'degraded'): void {
    const {shared} = this.#options;
    this.#phase = phase;
    this.#waiting = undefined;
    this.#checkpoint = undefined;
    shared.set(WORD.synchronous, 0);
    shared.signal(WORD.commitSignal);
    this.#hush();
  }

  /** By wish: nothing is missing then. */
  #leave(): void {
    this.#release('async');
    if (this.#degraded === undefined) return;
    this.#degraded = undefined;
    this.#options.notices.drop('MODE_DEGRADED');
    this.#write(undefined);
  }

  #degrade(): void {
    const {event, shared} = this.#options;
    const seconds = this.#settings.degradeAfterSeconds ?? 0;
    if (this.#degraded === undefined) {
      const degraded = {since: this.#now(), reason: `${this.#missing()}, for ${seconds} s`};
      // Not durable, not told: then nothing is answered either, and it is tried again.
      if (!this.#write(degraded)) return;
      this.#degraded = degraded;
      this.#showDegraded(degraded);
      const text = `flushes are answered without replicas from now on: ${degraded.reason}`;
      const details = {confirmed: formatPosition(shared.confirmed.get())};
      event({code: 'MODE_DEGRADED', severity: 'warning', text, details});
    } else if (!this.#isWritten) {
      this.#isWritten = this.#write(this.#degraded);
      if (!this.#isWritten) return;
    }

    this.#release('degraded');
  }

  /** Looks whether replicas keep up again. */
  #tryReturn(now: number): void {
    const {shared} = this.#options;
    const checkpoint = this.#checkpoint;
    if (checkpoint !== undefined) {
      this.#publish();
      const isLate = now - checkpoint.atMs > CAUGHT_UP_MS + SYNC_STEP_MS;
      if (shared.confirmed.get() >= checkpoint.position && !isLate && this.#hasEnough(now)) {
        this.#return();
        return;
      }

      if (now - checkpoint.atMs < CAUGHT_UP_MS) return;
    }

    const position = shared.appended.get();
    this.#checkpoint = {position, atMs: now};
    this.#ask(position);
  }

  /** Old words prove that a flush is safe; that replicas keep up they do not. */
  #hasEnough(now: number): boolean {
    const fresh = this.#confirmations.all().filter(({heardMs}) => now - heardMs < COUNTED_MS);
    return fresh.length >= this.#settings.syncReplicas;
  }

  #return(): void {
    this.#enforce('returning');
    this.#checkpoint = undefined;
    // Read behind the word: what the front answered without replicas lies below it.
    this.#returnAt = this.#options.shared.appended.get();
    this.#ask(this.#returnAt);
    this.#count();
  }

  #publish(): void {
    const {shared} = this.#options;
    const {mode, syncReplicas} = this.#settings;
    const confirmed = this.#confirmations.confirmed(mode, syncReplicas);
    if (confirmed <= shared.confirmed.get()) return;
    shared.confirmed.set(confirmed);
    if (shared.waitingCount > 0) shared.signal(WORD.commitSignal);
  }

  /** Something was confirmed, or may have been. */
  #count(): void {
    const {shared, clock, notices, event} = this.#options;
    this.#publish();
    const confirmed = shared.confirmed.get();
    if (this.#waiting !== undefined && confirmed >= this.#waiting.target) {
      const target = shared.newestWaiting;
      const isMore = target > confirmed;
      this.#waiting = isMore ? {target, sinceMs: clock.monotonicMs()} : undefined;
      this.#hush();
    }

    if (this.#phase !== 'returning' || confirmed < this.#returnAt) return;
    if (!this.#write(undefined)) return;
    this.#isWritten = true;
    this.#degraded = undefined;
    this.#phase = 'inForce';
    notices.drop('MODE_DEGRADED');
    const {mode, syncReplicas} = this.#settings;
    const text = `flushes wait for ${syncReplicas} ${plural(syncReplicas)} again (${mode}): all is confirmed`;
    event({code: 'MODE_RESTORED', severity: 'info', text});
  }

  /** Other settings: who waits has the time of the new ones. */
  #restartWaiting(): void {
    const {shared, clock} = this.#options;
    const target = shared.newestWaiting;
    this.#waiting =
      this.#isWaitedFor && target >= 0 ? {target, sinceMs: clock.monotonicMs()} : undefined;
    if (this.#waiting !== undefined) this.#ask(target);
  }

  #ask(position: number): void {
    if (position < 0) return;
    this.#askedMs = this.#options.clock.monotonicMs();
    this.#options.ask({position, durably: this.#settings.mode === 'sync'});
  }

  /** Says for whom flushes wait, since when and until when. */
  #tell(): void {
    const {notices, event, clock} = this.#options;
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const {degradeAfterSeconds} = this.#settings;
    const sinceWallMs = clock.wallMs() - (clock.monotonicMs() - waiting.sinceMs);
    const since = new Date(sinceWallMs).toISOString();
    const until =
      degradeAfterSeconds === null
        ? null
        : new Date(sinceWallMs + degradeAfterSeconds * 1000).toISOString();
    const reason = `flushes wait for replicas: ${this.#missing()}`;
    notices.confirmWaiting({reason, since, until});
    notices.put('FLUSHES_WAIT', 'critical', reason);
    if (this.#isTold) return;
    this.#isTold = true;
    event({code: 'FLUSHES_WAIT', severity: 'warning', text: reason});
  }

  #hush(): void {
    const {notices, event} = this.#options;
    notices.confirmWaiting(undefined);
    notices.drop('FLUSHES_WAIT');
    if (!this.#isTold) return;
    this.#isTold = false;
    event({code: 'FLUSHES_ANSWERED', severity: 'info', text: 'flushes that waited were answered'});
  }

  #showDegraded({since, reason}: Degraded): void {
    const text = `flushes are answered without replicas since ${since}: ${reason}`;
    this.#options.notices.put('MODE_DEGRADED', 'warning', text);
  }

  /** Who has not confirmed, in words. */
  #missing(): string {
    const {shared, clock} = this.#options;
    const {mode, syncReplicas} = this.#settings;
    const now = clock.monotonicMs();
    const target = this.#waiting?.target ?? shared.appended.get();
    const all = this.#confirmations.all();
    const has = ({received, durable}: Confirmation): boolean =>
      (mode === 'sync' ? Math.min(received, durable) : received) >= target;
    const behind = all.filter((one) => !has(one));
    const words = behind.map(({name, heardMs}) =>
      now - heardMs < COUNTED_MS
        ? `${name} is behind`
        : `${name} was heard of ${Math.round((now - heardMs) / 1000)} s ago`,
    );
    const nobody = 'no replica has followed since this disk process began';
    const who = all.length === 0 ? nobody : words.join(', ');
    return `${all.length - behind.length} of ${syncReplicas} ${plural(syncReplicas)} confirmed (${who})`;
  }

  /** @returns false where it is not durable */
  #write(degraded: Degraded | undefined): boolean {
    try {
      this.#file.write(degraded);
      this.#options.notices.drop('STORE_IO');
      return true;
    } catch (error) {
      this.#trouble(error, 'write the state of the mode');
      return false;
    }
  }

  #trouble(error: unknown, what: string): DiskError {
    const known = storeError(error, what);
    if (!(known instanceof DiskError)) throw error;
    this.#options.notices.put('STORE_IO', 'critical', known.message);
    return known;
  }

  #now(): string {
    return new Date(this.#options.clock.wallMs()).toISOString();
  }
}

function plural(count: number): string {
  return count === 1 ? 'replica' : 'replicas';
}
