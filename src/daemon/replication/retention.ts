/**
 * Keeps the slots of one resource in line with what the replicas need, and the disk process in line
 * with the slots. Order: the file first, then the disk process; it reads the file by itself when it
 * starts.
 *
 * Each node keeps log for each replica that it knows of, not only the primary: any node may become
 * primary, and the others then want to go on from where they are.
 */
import fs from 'node:fs';
import type {Clock} from '../../core/clock.js';
import type {DiskStatus, SpaceWish} from '../../core/disk-status.js';
import type {ResourceFile} from '../../core/home.js';
import {LOG_CAP_BYTES_DEFAULT} from '../../core/limits.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {formatBytes, formatDuration} from '../../core/units.js';
import type {Candidate} from './choose-source.js';
import {capInForce, isExportSlot, slotPositionOf, type Slots} from './slots.js';

/** Facts that are so much younger than a slot and know no replica are believed. */
const LEFT_AFTER_MS = 60_000;
/** Of a replica that began anew older facts may still be on their way for so long, not longer. */
const OLD_FACTS_MS = 60_000;

export interface RetentionPorts {
  readonly clock: Clock;
  readonly slots: Slots;
  readonly logDirectory: string;
  readonly file: () => ResourceFile | undefined;
  /** None while it is not known what is here: a slot must not move beyond a fork. */
  readonly replicas: () => readonly Candidate[];
  /** Up to where the history of a replica is ours; undefined: all of what it has. */
  readonly partsAt: (replica: Candidate) => number | undefined;
  /** false: no member any more, or its fresh facts know no such replica. */
  readonly isMember: (nodeId: string) => boolean;
  /** true: somebody has removed it from the cluster. */
  readonly isRemoved: (nodeId: string) => boolean;
  /** Log of resources that give way before this one, on the same file system. */
  readonly yieldingBytes: () => number;
  /** For how long the log has been beyond a position, as far as this daemon saw it. */
  readonly lagMs: (position: number) => number;
  readonly tellDisk: (position: string | null) => Promise<void>;
  readonly onDropped: (name: string, text: string) => void;
  /** One that was dropped needs no copy after all: it is near the end, and the log from there on is here. */
  readonly onBack: (name: string) => void;
}

/** One per resource. */
export class Retention {
  readonly #ports: RetentionPorts;
  readonly #seen = new Map<string, number>();
  /** Slots that were set back behind what the facts said of their replica, and when. */
  readonly #setBack = new Map<string, number>();
  #agedMs: number | undefined;

  constructor(ports: RetentionPorts) {
    this.#ports = ports;
  }

  /**
   * Pins the log for a replica whose stream is about to begin.
   *
   * @returns resolves when file and disk process know of it
   * @throws DiskError STORE_*, or what the disk process answered
   */
  async pin(nodeId: string, name: string, position: number, disk: DiskStatus): Promise<void> {
    const {slots} = this.#ports;
    const slot = slots.all.get(nodeId);
    const isBack = this.#positionTold(nodeId) > position || (slot?.position ?? 0) > position;
    if (isBack) this.#setBack.set(nodeId, this.#ports.clock.monotonicMs());
    if (slot?.position !== position) slots.pin(nodeId, name, position);
    await this.#tell(disk);
  }

  /** Looks once; called every second or so. */
  async tick(disk: DiskStatus | undefined): Promise<void> {
    const {slots} = this.#ports;
    this.#followFacts(disk);
    this.#forgetStrangers();
    if (disk !== undefined) {
      this.#noteAges(disk);
      this.#applyAge();
      this.#applyCap(disk);
      await this.#tell(disk);
    }

    slots.flush();
  }

  /** Up to where the facts say that the image of a replica is. */
  #positionTold(nodeId: string): number {
    const known = this.#ports.replicas().find((replica) => replica.nodeId === nodeId);
    if (known === undefined) return 0;
    return parsePosition(slotPositionOf(known.facts.historySeconds, known.facts) ?? '') ?? 0;
  }

  /**
   * true while facts may be older than the stream for which the slot was set back: until they tell of
   * a copy. What the replica itself confirms moves the slot all the same.
   */
  #mayBeOld(nodeId: string, isCopied: boolean): boolean {
    const sinceMs = this.#setBack.get(nodeId);
    if (sinceMs === undefined) return false;
    const isOver = this.#ports.clock.monotonicMs() - sinceMs > OLD_FACTS_MS;
    if (isCopied || isOver) this.#setBack.delete(nodeId);
    return !isOver;
  }

  #followFacts(disk: DiskStatus | undefined): void {
    const {slots, replicas, partsAt, onBack} = this.#ports;
    for (const replica of replicas()) {
      const {nodeId, name, facts} = replica;
      if (this.#mayBeOld(nodeId, facts.sync !== null)) continue;
      // One that is being copied has its slot from the stream; a fork's positions are not ours.
      if (facts.sync !== null || facts.forked !== null || facts.replayed === null) continue;
      // Behind the fork the same numbers are other records: our own must stay, all of them.
      const told = parsePosition(slotPositionOf(facts.historySeconds, facts) ?? '') ?? 0;
      const replayed = Math.min(told, partsAt(replica) ?? Infinity);
      if (slots.all.has(nodeId)) slots.advance(nodeId, replayed);
      else if (disk !== undefined && !slots.isDropped(nodeId)) {
        slots.pin(nodeId, name, Math.max(replayed, parsePosition(disk.log.firstPosition) ?? 0));
      } else if (disk !== undefined && partsAt(replica) === undefined && isNear(replayed, disk)) {
        slots.pin(nodeId, name, replayed);
        onBack(name);
      }
    }
  }

  #forgetStrangers(): void {
    const {slots, isMember, isRemoved, clock} = this.#ports;
    for (const [nodeId, {at}] of slots.all) {
      const old = clock.wallMs() - Date.parse(at) > LEFT_AFTER_MS;
      if (isRemoved(nodeId) || (old && !isMember(nodeId))) slots.forget(nodeId);
    }
  }

  #noteAges(disk: DiskStatus): void {
    const {slots, clock, lagMs} = this.#ports;
    const now = clock.monotonicMs();
    const elapsedMs = Math.max(0, now - (this.#agedMs ?? now));
    this.#agedMs = now;
    const end = parsePosition(disk.position) ?? 0;
    for (const [nodeId, {position, ageMs}] of slots.all) {
      const hasMoved = this.#seen.has(nodeId) && this.#seen.get(nodeId) !== position;
      this.#seen.set(nodeId, position);
      const older = ageMs + elapsedMs;
      const aged = hasMoved ? Math.min(older, lagMs(position)) : older;
      slots.age(nodeId, position >= end ? 0 : aged);
    }
  }

  #applyAge(): void {
    const {slots, file, replicas, onDropped} = this.#ports;
    const limitSeconds = file()?.logAgeSeconds ?? 0;
    if (limitSeconds === 0) return;
    for (const [nodeId, {name, ageMs}] of slots.all) {
      if (ageMs <= limitSeconds * 1000) continue;
      // A first copy may take days: it would begin again and again.
      const isCopying = ({nodeId: id, linkUp, facts}: Candidate): boolean =>
        id === nodeId && linkUp && facts.sync !== null;
      if (replicas().some(isCopying)) continue;
      slots.drop(nodeId);
      onDropped(
        name,
        `${subjectOf(nodeId, name)} lags ${formatDuration(ageMs / 1000)}, longer than log may be kept ` +
          `for it (log-age ${formatDuration(limitSeconds)}): ${remedyOf(nodeId)}`,
      );
    }
  }

  #applyCap(disk: DiskStatus): void {
    const {slots, onDropped} = this.#ports;
    const end = parsePosition(disk.position) ?? 0;
    const oldest = slots.retainFrom;
    // The usual case costs no system call.
    if (oldest === undefined || end - oldest < disk.log.segmentBytes) return;
    const capBytes = this.capBytes(disk);
    for (const [nodeId, {name, position}] of slots.all) {
      if (end - position <= capBytes) continue;
      const lag = formatBytes(end - position);
      slots.drop(nodeId);
      onDropped(
        name,
        `${subjectOf(nodeId, name)} lags ${lag}, more log than may be kept ` +
          `(${formatBytes(capBytes)}): ${remedyOf(nodeId)}`,
      );
    }
  }

  /** So much log may be kept for one replica now: what resources that give way first have counts as free. */
  capBytes(disk: DiskStatus): number {
    const {file, logDirectory, yieldingBytes} = this.#ports;
    const {bavail, bsize} = fs.statfsSync(logDirectory);
    return capInForce({
      capBytes: file()?.logCapBytes ?? LOG_CAP_BYTES_DEFAULT,
      freeBytes: bavail * bsize + yieldingBytes(),
      logBytes: disk.log.bytes,
    });
  }

  /** Where the slowest of the replicas is that fetch now; null: none does. */
  fetchStanding(disk: DiskStatus, isFetching: (nodeId: string) => boolean): SpaceWish['fetch'] {
    const positions = [...this.#ports.slots.all]
      .filter(([nodeId]) => isFetching(nodeId))
      .map(([, {position}]) => position);
    if (positions.length === 0) return null;
    const capBytes = Math.max(1, this.capBytes(disk));
    return {position: formatPosition(Math.min(...positions)), capBytes};
  }

  /**
   * There is no room for a log at all: the slot that lags most is let go, whatever the limits say,
   * if that gives back as much as one logfile.
   *
   * @returns whether there was such a slot
   */
  sacrifice(disk: DiskStatus): boolean {
    const {slots, onDropped} = this.#ports;
    const replayed = parsePosition(disk.replayed) ?? 0;
    const furthest = [...slots.all].sort(([, one], [, other]) => one.position - other.position)[0];
    if (furthest === undefined) return false;
    const [nodeId, {name, position}] = furthest;
    // What is not replayed here stays with or without the slot.
    if (replayed - position < disk.log.segmentBytes) return false;
    slots.drop(nodeId);
    onDropped(
      name,
      `${subjectOf(nodeId, name)} lags ${formatBytes(replayed - position)}, and the file system of the ` +
        `log has no room: ${remedyOf(nodeId)}`,
    );
    return true;
  }

  async #tell(disk: DiskStatus): Promise<void> {
    const {slots, tellDisk} = this.#ports;
    const retain = slots.retainFrom;
    const wanted = retain === undefined ? null : formatPosition(retain);
    if ((disk.retainFrom ?? null) !== wanted) await tellDisk(wanted);
  }
}

/** It lacks less than a logfile, and all that it lacks is kept. */
function isNear(position: number, {log, position: end}: DiskStatus): boolean {
  const first = parsePosition(log.firstPosition) ?? Infinity;
  return position >= first && (parsePosition(end) ?? 0) - position < log.segmentBytes;
}

function subjectOf(nodeId: string, name: string): string {
  return isExportSlot(nodeId) ? `the ${name}` : `the replica on ${name}`;
}

function remedyOf(nodeId: string): string {
  return isExportSlot(nodeId)
    ? 'it has to begin again in a new folder, with --base'
    : 'it will be compared and copied again';
}
