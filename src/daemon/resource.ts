/**
 * One resource as the daemon knows it: its file, what its disk process said last, its messages, and
 * the queue in which everything that changes it runs, one operation at a time.
 *
 * The truth is elsewhere: wishes in resource.json, facts in the disk process and the kernel. What
 * is kept here may be lost at any moment.
 */
import type {ErrorCode} from '../core/codes.js';
import type {DiskStatus, Message, Severity, Waiting} from '../core/disk-status.js';
import fs from 'node:fs';
import {DiskError} from '../core/errors.js';
import type {ResourceFile, ResourcePaths} from '../core/home.js';
import {readJsonFile, writeJsonFile} from '../core/json-file.js';
import {diskStatus} from '../control/disk-client.js';
import type {VerifyReport} from '../control/verify-api.js';
import {ownPidsOf} from './activate.js';
import type {Context} from './context.js';
import {usersShown} from './device.js';
import type {Follow} from './replication/follow.js';
import {lastFatal, outputSize, seemsAlive, type StartedHolder} from './holder.js';
import {placesOf, type Places} from './places.js';
import {writeResource} from './state.js';

const POLL_TIMEOUT_MS = 1500;
/** A scan of /proc costs some milliseconds: its answer is good for this long. */
const OPENERS_FRESH_MS = 1000;

/** Changed wishes; `forcedAt` and `followFolder` undefined take them away. */
export type ResourceChange = Omit<Partial<ResourceFile>, 'forcedAt' | 'followFolder'> & {
  readonly forcedAt?: string | undefined;
  readonly followFolder?: string | undefined;
};

/** What the daemon knows of one resource, and the queue of what changes it. */
export class Resource {
  readonly name: string;
  readonly #context: Context;
  readonly #messages = new Map<string, Message>();
  #file: ResourceFile | undefined;
  #fault: DiskError | undefined;
  #disk: DiskStatus | undefined;
  #last: DiskStatus | undefined;
  #silentSince: string | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #operation: string | undefined;
  #waiting: Waiting | undefined;
  #openers = {at: -Infinity, count: 0};
  /** What was seen of openers before counts no more. */
  #openersChangedMs = -Infinity;
  #failureCode: ErrorCode | undefined;
  #writtenBack = false;
  #deleted = false;
  /** Grows with each fact that an operation brings: a slower answer from before is dropped. */
  #turn = 0;
  #outputSeen = 0;
  #renewals = 0;
  #places: Places;
  #placesOf: Context['node'];
  #revision = 0;
  /** Called when a wish has changed. */
  onWish: () => void = () => undefined;
  /** The holder of the write-back that was started last; its end with 0 means that all is done. */
  writeBack: StartedHolder | undefined;
  /** Its disk was not ready in time when it became primary; what comes after that is still to be done. */
  isBeginning = false;
  /** How it follows other replicas; set where the node has a cluster. */
  follow: Follow | undefined;
  /** What comparisons with other replicas have found; set with `follow`. */
  verify: {readonly report: VerifyReport | undefined} | undefined;

  constructor(context: Context, name: string, loaded: ResourceFile | DiskError) {
    this.#context = context;
    this.name = name;
    this.#placesOf = context.node;
    this.#places = placesOf(context, name);
    if (loaded instanceof DiskError) this.#fault = loaded;
    else this.#file = loaded;
    this.#last = readEnd(this.places.paths);
  }

  get places(): Places {
    const {node} = this.#context;
    if (node !== this.#placesOf) this.#places = placesOf(this.#context, this.name);
    this.#placesOf = node;
    return this.#places;
  }

  /** Grows with all that changes here, but for what the disk process says. */
  get revision(): number {
    return this.#revision;
  }

  /** The settings in force. @throws DiskError STATE_UNREADABLE where resource.json is not valid */
  get file(): ResourceFile {
    if (this.#file === undefined) throw this.#fault ?? new Error(`${this.name} has no file`);
    return this.#file;
  }

  /** Why resource.json cannot be used; undefined where it can. */
  get fault(): DiskError | undefined {
    return this.#file === undefined ? this.#fault : undefined;
  }

  /** What the disk process says, undefined while none answers. */
  get disk(): DiskStatus | undefined {
    return this.#disk;
  }

  /** The last word of a disk process, also after its end. */
  get lastDisk(): DiskStatus | undefined {
    return this.#disk ?? this.#last;
  }

  /** Since when a disk process holds the lock without answering. */
  get silentSince(): string | undefined {
    return this.#silentSince;
  }

  /** The operation under way, for status and supervision. */
  get operation(): string | undefined {
    return this.#operation;
  }

  get messages(): Message[] {
    return [...this.#messages.values()];
  }

  /** Runs `work` after everything that was asked before; `name` is shown while it runs. */
  run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(async () => {
      if (this.#deleted) throw unknownResource(this.name);
      this.#operation = name;
      try {
        return await work();
      } finally {
        this.#operation = undefined;
        this.#waiting = undefined;
        this.#revision += 1;
      }
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** The resource is no more: what still waits in the queue is refused, nothing is written. */
  markDeleted(): void {
    this.#deleted = true;
  }

  /** Resolves when the queue is empty. */
  async idle(): Promise<void> {
    await this.#queue;
  }

  /** Writes changed wishes. @throws DiskError STORE_*; the old ones are then in force */
  save(change: ResourceChange): ResourceFile {
    const {forcedAt, followFolder, ...file} = {...this.file, ...change};
    // Absent and false are the same wish; the file keeps the short form.
    if (file.withoutDevice === false) delete (file as {withoutDevice?: boolean}).withoutDevice;
    const saved = {
      ...file,
      ...(forcedAt === undefined ? {} : {forcedAt}),
      ...(followFolder === undefined ? {} : {followFolder}),
    };
    writeResource(this.#context.paths.home, saved);
    this.#file = saved;
    this.#noteWish();
    return saved;
  }

  /** Takes a file that somebody edited. */
  replace(loaded: ResourceFile | DiskError): void {
    if (loaded instanceof DiskError) this.#fault = loaded;
    else this.#file = loaded;
    this.#noteWish();
  }

  #noteWish(): void {
    this.#revision += 1;
    this.onWish();
  }

  /** Shows a message until it is cleared; its `since`, by default now, stays while it is shown. */
  say(code: ErrorCode, severity: Severity, text: string, since = this.#now()): void {
    const before = this.#messages.get(code);
    if (before?.text !== text || before.severity !== severity) this.#revision += 1;
    this.#messages.set(code, {code, severity, text, since: before?.since ?? since});
  }

  /** Shows what an operation waits for, and until when at most: RFC 3339. */
  wait(reason: string, until: string): void {
    if (reason !== this.#waiting?.reason) this.#waiting = {reason, since: this.#now(), until};
  }

  /** The operation waits for nothing any more. */
  waitIsOver(): void {
    this.#waiting = undefined;
  }

  /** What an operation waits for. */
  get waiting(): Waiting | undefined {
    return this.#waiting;
  }

  hush(code: ErrorCode): void {
    if (this.#messages.delete(code)) this.#revision += 1;
  }

  /** Asks the disk process how it is. Cheap: one request on a local socket. */
  async poll(): Promise<void> {
    const {paths} = this.places;
    const turn = this.#turn;
    const status = await diskStatus(paths.socket, POLL_TIMEOUT_MS).catch(() => undefined);
    // An operation that ended meanwhile knows better.
    if (turn !== this.#turn || this.#deleted) return;
    if (status !== undefined) {
      this.noteStatus(status);
      return;
    }

    this.#disk = undefined;
    if (seemsAlive(paths)) this.#silentSince ??= this.#now();
    else this.#silentSince = undefined;
    if (this.writeBack?.ended === 0 && this.#operation === undefined) this.#noteWrittenBack();
  }

  /** A disk process was renewed by wish: its new life is no death. */
  noteRenewed(status: DiskStatus): void {
    this.#renewals += 1;
    this.noteStatus(status);
  }

  /** How often it was renewed since this was asked last. */
  takeRenewals(): number {
    const count = this.#renewals;
    this.#renewals = 0;
    return count;
  }

  noteStatus(status: DiskStatus): void {
    this.#turn += 1;
    this.#disk = status;
    if (knowsPositions(status)) this.#last = status;
    this.#silentSince = undefined;
    this.#outputSeen = outputSize(this.places.paths);
  }

  /** Why the disk process ended, in its own words since it was last seen well. */
  lastWords(): DiskError | undefined {
    return lastFatal(this.places.paths, this.#outputSeen);
  }

  /** The disk process has ended in order; `last` is its last word, also for the next daemon. */
  noteEnd(last: DiskStatus | undefined): void {
    this.#turn += 1;
    this.#revision += 1;
    this.#disk = undefined;
    if (last !== undefined && knowsPositions(last)) this.#last = last;
    this.#silentSince = undefined;
    this.writeBack = undefined;
    this.#openers.at = -Infinity;
    this.#openersChangedMs = this.#context.clock.monotonicMs();
    fs.rmSync(this.places.paths.socket, {force: true});
    if (this.#last === undefined) return;
    try {
      writeJsonFile(endFile(this.places.paths), this.#last);
    } catch (error) {
      // The next daemon then starts a write-back, which finds nothing to do.
      this.#context.log.warn({resource: this.name, err: error}, 'last status not kept');
    }
  }

  /** true where it is known that nothing waits in the log of this secondary. */
  get isWrittenBack(): boolean {
    if (this.#writtenBack) return true;
    return this.#last !== undefined && this.#last.position === this.#last.replayed;
  }

  #noteWrittenBack(): void {
    this.writeBack = undefined;
    this.#writtenBack = true;
    this.hushFailure();
    if (this.#last === undefined) fs.rmSync(this.places.paths.socket, {force: true});
    else this.noteEnd({...this.#last, replayed: this.#last.position});
  }

  /** The disk process ended unseen: what the log holds beyond the image is not known. */
  noteLost(): void {
    this.forgetEnd();
    this.#last = undefined;
    this.noteEnd(undefined);
  }

  /** A disk is about to run: what was kept of the last end is no longer true. */
  forgetEnd(): void {
    this.#writtenBack = false;
    this.writeBack = undefined;
    fs.rmSync(endFile(this.places.paths), {force: true});
  }

  /** Shows why the disk could not be started, instead of the reason before. */
  sayFailure(code: ErrorCode, text: string): void {
    this.hushFailure();
    this.#failureCode = code;
    this.say(code, 'critical', text);
  }

  hushFailure(): void {
    if (this.#failureCode !== undefined) this.hush(this.#failureCode);
    this.#failureCode = undefined;
  }

  /**
   * Users of device and image other than ourselves; null while nothing is served.
   *
   * @param maxAgeMs how old the answer may be: a look at all processes costs
   */
  openCount(maxAgeMs = OPENERS_FRESH_MS): number | null {
    const status = this.#disk;
    if (status?.mode !== 'serve') return null;
    const now = this.#context.clock.monotonicMs();
    if (now - this.#openers.at > maxAgeMs) {
      const sinceMs = Math.max(now - maxAgeMs, this.#openersChangedMs);
      const users = usersShown(this.places, ownPidsOf(status), sinceMs, now);
      this.#openers = {at: now, count: users.length};
    }

    return this.#openers.count;
  }

  #now(): string {
    return new Date(this.#context.clock.wallMs()).toISOString();
  }
}

/**
 * A RESOURCE_UNKNOWN.
 *
 * @param nodes others that have a replica of it
 */
export function unknownResource(name: string, nodes: readonly string[] = []): DiskError {
  const text =
    nodes.length === 0
      ? `there is no resource '${name}' on this node`
      : `this node has no replica of '${name}', ${nodes.join(', ')} ${nodes.length === 1 ? 'has' : 'have'} one: ` +
        `say it there, or first mars resource join ${name} here`;
  return new DiskError('RESOURCE_UNKNOWN', text, {
    resource: name,
  });
}

/** Before recovery is done all positions are 0, which would look like a log that is written back. */
function knowsPositions(status: DiskStatus): boolean {
  return status.phase !== 'starting' && status.phase !== 'recovering';
}

function endFile(paths: ResourcePaths): string {
  return paths.socket.replace(/sock$/u, 'last');
}

/** The last word of the last disk process, where it ended in order. */
function readEnd(paths: ResourcePaths): DiskStatus | undefined {
  try {
    return readJsonFile(endFile(paths), (value) => value as DiskStatus);
  } catch {
    return undefined; // a courtesy: without it a write-back is started and finds nothing
  }
}
