/**
 * Compares the replica of this node with that of another one, mends it where that was asked for, and
 * keeps what was found in verify.json.
 *
 *   state      is                                                  next
 *   running    chunk after chunk is compared                       equal, different, repairing
 *   repairing  what differs comes from the primary                 checking
 *   checking   what was repaired is compared again                 equal, different
 *   equal, different, stopped, failed: the last run is over
 *
 * What was found to differ stays a message until a later run finds it equal, also where that run did
 * not come to its end.
 */
import {randomUUID} from 'node:crypto';
import fs from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import * as v from 'valibot';
import {
  isUnderWay,
  VERIFY_RANGES_MAX,
  type VerifyReport,
  type VerifyState,
} from '../../control/verify-api.js';
import {check} from '../../core/check.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import {readJsonFile, writeJsonFile} from '../../core/json-file.js';
import {formatPosition} from '../../core/position.js';
import {formatBytes} from '../../core/units.js';
import {bytesIn, type ByteRange} from '../../log/changes.js';
import {Bandwidth} from '../../replica/bandwidth.js';
import {compareImages, type Comparison} from '../../replica/compare-images.js';
import {VIEW_CHUNK_BYTES} from '../../replica/image-view.js';
import type {Context} from '../context.js';
import type {Candidate} from './choose-source.js';
import {numberOf} from './replica-state.js';
import type {Replica} from './replica.js';
import {beginRepair} from './verify-repair.js';
import {VERIFY_REPORT} from './verify-facts.js';
import {askDigests, DigestService, isBeingMade, openView} from './verify-view.js';

export interface VerifyStart {
  /** The node that it is compared with. */
  readonly sourceId: string;
  readonly repair: boolean;
  readonly bytesPerSecond?: number | undefined;
}

/** States of a replica that is no state of the disk, or of another history. */
const NOT_WHOLE: ReadonlySet<string> = new Set([
  'InConsistent',
  'Syncing',
  'Recovery',
  'NotJoined',
]);
const LOOK_MS = 300;
/** A repair that does not come nearer to its end for so long is not waited for. */
const REPAIR_IDLE_MS = 300_000;
const REPAIR_TRIES = 20;

type Mutable<T> = {-readonly [K in keyof T]: T[K]};

/** One for the life of a replica. */
export class ReplicaVerify {
  /** Answers other nodes. */
  readonly digests: DigestService;
  readonly #context: Context;
  readonly #replica: Replica;
  #report: Mutable<VerifyReport> | undefined;
  /** What the run before the one under way has found to differ. */
  #differed: VerifyReport | undefined;
  #abort: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(context: Context, replica: Replica) {
    this.#context = context;
    this.#replica = replica;
    this.digests = new DigestService(replica, context.clock);
    replica.resource.verify = this;
    this.#load();
  }

  /** The last run, or the one under way; undefined: there was none. */
  get report(): VerifyReport | undefined {
    return this.#report;
  }

  /** The same for messages and facts: what was found to differ does, until a run has ended. */
  get told(): VerifyReport | undefined {
    const report = this.#report;
    const before = this.#differed;
    if (report === undefined || before === undefined || !isUnderWay(report.state)) return report;
    if (report.differentBytes > 0) return report;
    const {differentBytes, rangeCount, ranges} = before;
    return {...report, differentBytes, rangeCount, ranges};
  }

  /**
   * Begins a run; it goes on after this.
   *
   * @throws DiskError VERIFY_RUNNING, VERIFY_REFUSED, RESOURCE_DETACHED, RESOURCE_PRIMARY, SPLIT_BRAIN,
   *   NO_SOURCE, PEER_UNREACHABLE
   */
  start(wish: VerifyStart): VerifyReport {
    const {resource} = this.#replica;
    const {name, file} = resource;
    const source = this.#refuse(wish);
    const now = this.#now();
    const report: Mutable<VerifyReport> = {
      id: randomUUID(),
      node: this.#context.node.name,
      with: source.name,
      state: 'running',
      startedAt: now,
      endedAt: null,
      verifiedAt: this.#report?.verifiedAt ?? null,
      ...{fromPosition: null, position: null, doneBytes: 0, totalBytes: file.sizeBytes},
      ...{differentBytes: 0, rangeCount: 0, ranges: [], repairedBytes: null, error: null},
    };
    const before = this.told;
    this.#differed = before !== undefined && before.differentBytes > 0 ? before : undefined;
    this.#report = report;
    const abort = new AbortController();
    this.#abort = abort;
    this.#running = this.#run(report, source, wish, abort.signal)
      .catch((error: unknown) => {
        this.#fail(report, before, error, abort.signal.aborted);
      })
      .finally(() => {
        this.#abort = undefined;
        this.#save();
        this.#context.roles?.touch();
        this.#context.log.info(
          {resource: name, ...report, ranges: undefined},
          'a comparison is over',
        );
      });
    return report;
  }

  /** Ends a run; what it had found stays. Nothing is done where none is under way. */
  async stop(): Promise<VerifyReport | undefined> {
    this.#abort?.abort();
    await this.#running;
    return this.#report;
  }

  /** The image was compared and copied whole: what was found before is of another one. */
  forget(): void {
    if (this.#report === undefined || isUnderWay(this.#report.state)) return;
    this.#report = undefined;
    this.#replica.resource.hush('VERIFY_DIFFERENT');
    fs.rmSync(this.#file, {force: true});
  }

  async close(): Promise<void> {
    await this.stop();
    this.digests.close();
  }

  /** @returns the other replica */
  #refuse({sourceId, repair}: VerifyStart): Candidate {
    const {resource} = this.#replica;
    const {name, file} = resource;
    const details = {resource: name};
    const {node} = this.#context;
    if (this.#report !== undefined && isUnderWay(this.#report.state)) {
      const text = `the replica of ${name} on ${node.name} is being compared already`;
      throw new DiskError('VERIFY_RUNNING', text, details);
    }

    if (!file.attached) {
      const text = `${name} is detached on ${node.name}: mars attach ${name} comes first`;
      throw new DiskError('RESOURCE_DETACHED', text, details);
    }

    const refused = (why: string): DiskError =>
      new DiskError('VERIFY_REFUSED', `the replica of ${name} on ${node.name} ${why}`, details);
    if (resource.operation !== undefined) {
      throw refused(`is busy: '${resource.operation}' is under way`);
    }

    if (file.connected === false) throw refused('is disconnected by wish');
    const {state} = this.#replica;
    if (state === 'Forked') {
      const text = `the replica of ${name} on ${node.name} has another history: mars fork show ${name}`;
      throw new DiskError('SPLIT_BRAIN', text, details);
    }

    if (NOT_WHOLE.has(state)) throw refused(`is ${state}, no state of the disk`);
    const source = this.#replica.candidates().find(({nodeId}) => nodeId === sourceId);
    if (source === undefined) {
      throw new DiskError('NO_SOURCE', `${node.name} knows of no such replica of ${name}`, details);
    }

    if (repair && file.designatedRole === 'primary') {
      const text = `${name} is primary on ${node.name}: what differs is never copied to the primary`;
      throw new DiskError('RESOURCE_PRIMARY', text, details);
    }

    if (repair && source.facts.role !== 'primary') {
      throw refused(`is mended from the primary only, and ${source.name} is none`);
    }

    if (!source.linkUp) {
      const text = `${source.name} is not heard of: nothing can be compared with it`;
      throw new DiskError('PEER_UNREACHABLE', text, {...details, node: source.name});
    }

    return source;
  }

  async #run(
    report: Mutable<VerifyReport>,
    source: Candidate,
    wish: VerifyStart,
    signal: AbortSignal,
  ): Promise<void> {
    const found = await this.#compare(report, source, wish, signal, undefined);
    report.verifiedAt = this.#now();
    if (found.differentBytes === 0) {
      this.#end(report, 'equal');
      return;
    }

    this.#sayDifferent(report);
    if (!wish.repair) {
      this.#end(report, 'different');
      return;
    }

    report.state = 'repairing';
    this.#save();
    await this.#repair(source, found.ranges, signal);
    report.repairedBytes = bytesIn(found.ranges);
    report.state = 'checking';
    const left = await this.#compare(report, source, wish, signal, found.ranges);
    report.verifiedAt = this.#now();
    this.#end(report, left.differentBytes === 0 ? 'equal' : 'different');
  }

  async #compare(
    report: Mutable<VerifyReport>,
    source: Candidate,
    {bytesPerSecond}: VerifyStart,
    signal: AbortSignal,
    only: readonly ByteRange[] | undefined,
  ): Promise<Comparison> {
    const {clock, roles} = this.#context;
    const {resource} = this.#replica;
    const {sizeBytes, id} = resource.file;
    const rate = new Bandwidth(clock, bytesPerSecond ?? null);
    const note = (found: Comparison): void => {
      noteFound(report, found, sizeBytes);
    };
    const found = await compareImages({
      sizeBytes,
      ...(only === undefined ? {} : {only}),
      signal,
      monotonicMs: () => clock.monotonicMs(),
      takeRate: (bytes) => rate.take(bytes, signal),
      openView: () => openView(this.#replica, sizeBytes, clock),
      ask: askDigests({
        ...{run: report.id, sizeBytes, name: source.name},
        call: async (body, timeoutMs) => {
          const path = `resources/${id}/digests`;
          return roles?.call(source.nodeId, path, body, timeoutMs);
        },
      }),
      onProgress: (now) => {
        // Of a second look only the end counts: what was found before is not mended until then.
        if (only !== undefined) return;
        const isNew = now.differentBytes > report.differentBytes;
        note(now);
        if (isNew) this.#save();
      },
    });
    note(found);
    return found;
  }

  /** Begins the repair, and waits until it is in place and replayed. */
  async #repair(
    source: Candidate,
    ranges: readonly ByteRange[],
    signal: AbortSignal,
  ): Promise<void> {
    const {resource, follow} = this.#replica;
    const end = numberOf(source.facts.position ?? formatPosition(0));
    // No other replica: which of those is right nobody has looked at.
    follow.prefer(source.nodeId);
    for (let tries = 1; ; tries += 1) {
      try {
        await beginRepair(this.#context, resource, ranges, end);
        break;
      } catch (error) {
        follow.poke();
        if (!isDiskError(error, 'VERIFY_REFUSED') || tries === REPAIR_TRIES) throw error;
        await sleep(LOOK_MS);
      }
    }

    this.#context.roles?.touch();
    follow.poke();
    await this.#waitForRepair(signal);
  }

  async #waitForRepair(signal: AbortSignal): Promise<void> {
    const {resource} = this.#replica;
    const {clock} = this.#context;
    const {nextFile, syncFile} = resource.places.paths;
    let [seen, seenMs] = ['', clock.monotonicMs()];
    for (;;) {
      if (signal.aborted) {
        const text = 'the comparison was ended; what differs is copied all the same';
        throw new DiskError('VERIFY_STOPPED', text, {resource: resource.name});
      }

      const isThere = !fs.existsSync(nextFile) && !fs.existsSync(syncFile);
      // What it said before the switch is of the image that was.
      await resource.poll();
      if (isThere && this.#isWhole()) return;
      const {follow, position, replayed} = resource.disk ?? {};
      const now = JSON.stringify([follow?.next, follow?.sync, position, replayed]);
      if (now !== seen) [seen, seenMs] = [now, clock.monotonicMs()];
      if (clock.monotonicMs() - seenMs > REPAIR_IDLE_MS) {
        const text = `what differs of ${resource.name} does not come from the primary: mars sync status`;
        throw new DiskError('TIMEOUT', text, {resource: resource.name});
      }

      await sleep(LOOK_MS);
    }
  }

  #isWhole(): boolean {
    const {disk} = this.#replica.resource;
    if (disk?.follow == null || isBeingMade(disk)) return false;
    return disk.position >= disk.replayingTo && this.#replica.state !== 'InConsistent';
  }

  #end(report: Mutable<VerifyReport>, state: VerifyState): void {
    const {resource} = this.#replica;
    report.state = state;
    report.endedAt = this.#now();
    if (state === 'different') {
      this.#sayDifferent(report);
      return;
    }

    resource.hush('VERIFY_DIFFERENT');
    const {repairedBytes, position} = report;
    const text = `the replica of ${resource.name} here holds what that of ${report.with} holds at ${position ?? '-'}`;
    if (repairedBytes === null) this.#context.tell('VERIFY_EQUAL', 'info', resource.name, text);
    else {
      const copied = `${formatBytes(repairedBytes)} were copied from ${report.with}; ${text}`;
      this.#context.tell('VERIFY_REPAIRED', 'info', resource.name, copied);
    }
  }

  #fail(
    report: Mutable<VerifyReport>,
    before: VerifyReport | undefined,
    error: unknown,
    isStopped: boolean,
  ): void {
    const {log} = this.#context;
    const {name} = this.#replica.resource;
    const known = isDiskError(error)
      ? error
      : new DiskError('BUG', `the comparison failed: ${String(error)}`, {}, {cause: error});
    if (known !== error) log.error({resource: name, err: error}, 'a comparison failed');
    report.state = isStopped ? 'stopped' : 'failed';
    report.endedAt = this.#now();
    const {code, message, details} = known;
    report.error = {code, message, details};
    if (report.differentBytes > 0) this.#sayDifferent(report);
    // Nothing new was found: what an earlier run has found to differ still does.
    else if (before !== undefined && before.differentBytes > 0) {
      const {differentBytes, rangeCount, ranges} = before;
      Object.assign(report, {differentBytes, rangeCount, ranges});
    }
  }

  #sayDifferent(report: VerifyReport): void {
    const {resource} = this.#replica;
    const text = describeDifference(resource.name, report);
    if (!resource.messages.some(({code}) => code === 'VERIFY_DIFFERENT')) {
      this.#context.tell('VERIFY_DIFFERENT', 'critical', resource.name, text);
    }

    resource.say('VERIFY_DIFFERENT', 'critical', text);
  }

  get #file(): string {
    return this.#replica.resource.places.paths.verifyFile;
  }

  #save(): void {
    try {
      writeJsonFile(this.#file, {schema: 1, report: this.#report});
    } catch (error) {
      this.#context.log.warn({resource: this.#replica.resource.name, err: error}, 'verify.json');
    }
  }

  #load(): void {
    try {
      const report = readJsonFile(this.#file, checkReport);
      if (report === undefined) return;
      this.#report = report;
      if (isUnderWay(report.state)) {
        const error = {code: 'VERIFY_STOPPED', message: 'the daemon ended', details: {}} as const;
        this.#report = {...report, state: 'stopped', endedAt: this.#now(), error};
      }

      const {resource} = this.#replica;
      if (report.differentBytes === 0) return;
      resource.say('VERIFY_DIFFERENT', 'critical', describeDifference(resource.name, report));
    } catch (error) {
      // Of no use to anybody but people, who can compare again.
      this.#context.log.warn({resource: this.#replica.resource.name, err: error}, 'verify.json');
    }
  }

  #now(): string {
    return new Date(this.#context.clock.wallMs()).toISOString();
  }
}

/** `web01 on beta differs from alpha in 4096 bytes (1 range, the first at 1048576), ...` */
export function describeDifference(
  name: string,
  {node, with: other, differentBytes, rangeCount, ranges, position}: VerifyReport,
): string {
  const first = ranges[0] === undefined ? '' : `, the first at byte ${ranges[0].offset}`;
  const count = `${rangeCount} range${rangeCount === 1 ? '' : 's'}${first}`;
  return `${name} on ${node} differs from ${other} in ${differentBytes} bytes (${count}), at ${position ?? '-'}`;
}

function noteFound(report: Mutable<VerifyReport>, found: Comparison, sizeBytes: number): void {
  const {fromPosition, position, ranges, differentBytes, doneChunks} = found;
  report.fromPosition ??= fromPosition === null ? null : formatPosition(fromPosition);
  if (position !== null) report.position = formatPosition(position);
  report.doneBytes = Math.min(sizeBytes, doneChunks * VIEW_CHUNK_BYTES);
  report.differentBytes = differentBytes;
  report.rangeCount = ranges.length;
  report.ranges = ranges
    .slice(0, VERIFY_RANGES_MAX)
    .map(([start, end]) => ({offset: start, length: end - start}));
}

/** @throws Error where it is no report */
function checkReport(value: unknown): VerifyReport {
  return check(v.looseObject({report: VERIFY_REPORT}), value).report as VerifyReport;
}
