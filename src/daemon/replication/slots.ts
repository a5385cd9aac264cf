/**
 * The slots of one resource: from which position on each other replica still needs the log.
 * `slots.json` is written durably before a stream begins and before the disk process is told, so
 * that what a replica was promised is kept over every crash. A position in the file may be older
 * than the one in memory: then more is kept than is needed.
 *
 * A slot stands at the replica's `from`, what is durable in its image: a damaged record that it has
 * not replayed yet can then be fetched once more.
 */
import type {Clock} from '../../core/clock.js';
import {passCrashPoint} from '../../core/crash-points.js';
import {isObject, readJsonFile, writeJsonFile} from '../../core/json-file.js';
import {formatPosition, parsePosition} from '../../core/position.js';

/**
 * Where the slot of a replica stands: at what is durable in its image, but where that trails behind on
 * purpose (history) at what is durable in its log, or its primary would have to keep as much as it does.
 */
export function slotPositionOf(
  historySeconds: number | undefined,
  {durable, replayed}: {readonly durable: string | null; readonly replayed: string | null},
): string | null {
  return (historySeconds ?? 0) > 0 && durable !== null ? durable : replayed;
}

/** What one replica needs. */
export interface Slot {
  /** Name of its node, for people. */
  readonly name: string;
  readonly position: number;
  /** RFC 3339: when the position was last heard of. */
  readonly at: string;
  /**
   * For how long the log has been beyond the position, as this daemon and those before it saw it:
   * counted, not read off a clock, so that a clock that jumps drops nobody.
   */
  readonly ageMs: number;
}

interface StoredSlot {
  readonly name: string;
  readonly position: string;
  readonly at: string;
  readonly ageSeconds?: number;
}

interface SlotsFile {
  readonly schema: 1;
  readonly slots: Readonly<Record<string, StoredSlot>>;
  /** Replicas that were let go because they lagged too far; they need a new copy. */
  readonly dropped?: Readonly<Record<string, {readonly name: string; readonly at: string}>>;
}

/** A position that only moved forward is written at most this often. */
const WRITE_INTERVAL_MS = 5000;
/** So much more of age is worth a write: a restart of the daemon forgets no more than this. */
const AGE_WRITE_MS = 60_000;

/** The slots of one resource. */
export class Slots {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #slots = new Map<string, Slot>();
  readonly #dropped = new Map<string, {name: string; at: string}>();
  #writtenMs = -Infinity;
  #changed = false;
  #agedMs = 0;

  /** @throws DiskError STATE_UNREADABLE, HOME_NEWER, STORE_IO: then nothing may be given up */
  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    const file = readJsonFile(path, checkSlots);
    for (const [id, slot] of Object.entries(file?.slots ?? {})) {
      const {name, position, at, ageSeconds = 0} = slot;
      const ageMs = ageSeconds * 1000;
      this.#slots.set(id, {name, at, position: parsePosition(position) ?? 0, ageMs});
    }

    for (const [id, dropped] of Object.entries(file?.dropped ?? {})) this.#dropped.set(id, dropped);
  }

  /** All slots by the id of their node. */
  get all(): ReadonlyMap<string, Slot> {
    return this.#slots;
  }

  /** Replicas that were let go, by the id of their node. */
  get dropped(): ReadonlyMap<string, {readonly name: string; readonly at: string}> {
    return this.#dropped;
  }

  /** true where a slot is that of a replica, not of an export. */
  get hasReplicas(): boolean {
    return [...this.#slots.keys()].some((id) => !isExportSlot(id));
  }

  /** true where the replica was let go and has not begun a new copy yet. */
  isDropped(nodeId: string): boolean {
    return this.#dropped.has(nodeId);
  }

  /** Nothing at or above it may be given up; undefined without slots. */
  get retainFrom(): number | undefined {
    const positions = [...this.#slots.values()].map(({position}) => position);
    return positions.length === 0 ? undefined : Math.min(...positions);
  }

  /**
   * Sets a slot, durably: the stream may begin when this returns and the disk process was told.
   *
   * @throws DiskError STORE_*; the slot is then as before
   */
  pin(nodeId: string, name: string, position: number): void {
    const before = this.#slots.get(nodeId);
    const dropped = this.#dropped.get(nodeId);
    const ageMs = before?.position === position ? before.ageMs : 0;
    this.#slots.set(nodeId, {name, position, at: this.#now(), ageMs});
    this.#dropped.delete(nodeId);
    try {
      this.#write();
    } catch (error) {
      if (before === undefined) this.#slots.delete(nodeId);
      else this.#slots.set(nodeId, before);
      if (dropped !== undefined) this.#dropped.set(nodeId, dropped);
      throw error;
    }
  }

  /** Notes how far a replica is; written some time later. Never moves backward. */
  advance(nodeId: string, position: number): void {
    const slot = this.#slots.get(nodeId);
    if (slot === undefined) return;
    const moved = Math.max(slot.position, position);
    if (moved !== slot.position) this.#changed = true;
    this.#slots.set(nodeId, {...slot, position: moved, at: this.#now()});
  }

  /** Notes for how long the log has been beyond the position. */
  age(nodeId: string, ageMs: number): void {
    const slot = this.#slots.get(nodeId);
    if (slot === undefined || slot.ageMs === ageMs) return;
    this.#agedMs += Math.abs(ageMs - slot.ageMs);
    if (this.#agedMs >= AGE_WRITE_MS) this.#changed = true;
    this.#slots.set(nodeId, {...slot, ageMs});
  }

  /** The replica is gone for good. @returns whether there was a slot or a note of it */
  forget(nodeId: string): boolean {
    const known = this.#slots.delete(nodeId);
    const noted = this.#dropped.delete(nodeId);
    if (known || noted) this.#write();
    return known || noted;
  }

  /** The replica lags too far: its log is not kept any longer, which it is told when it asks. */
  drop(nodeId: string): void {
    const slot = this.#slots.get(nodeId);
    if (slot === undefined) return;
    this.#slots.delete(nodeId);
    this.#dropped.set(nodeId, {name: slot.name, at: this.#now()});
    this.#write();
  }

  /** Writes what moved, at most every few seconds; `force` for the end of the daemon. */
  flush(force = false): void {
    const due = this.#clock.monotonicMs() - this.#writtenMs >= WRITE_INTERVAL_MS;
    if (this.#changed && (force || due)) this.#write();
  }

  #write(): void {
    const slots: Record<string, StoredSlot> = {};
    for (const [id, {name, position, at, ageMs}] of this.#slots) {
      const ageSeconds = Math.round(ageMs / 1000);
      slots[id] = {name, position: formatPosition(position), at, ageSeconds};
    }

    const file: SlotsFile = {schema: 1, slots, dropped: Object.fromEntries(this.#dropped)};
    writeJsonFile(this.#path, file);
    passCrashPoint('slots-written');
    this.#writtenMs = this.#clock.monotonicMs();
    this.#changed = false;
    this.#agedMs = 0;
  }

  #now(): string {
    return new Date(this.#clock.wallMs()).toISOString();
  }
}

const EXPORT = 'export:';

/** The slot of a folder that the log is exported to: it stands in the place of a node's id. */
export function exportSlot(folder: string): string {
  return `${EXPORT}${folder}`;
}

/** true for the slot of a folder, false for that of a node. */
export function isExportSlot(id: string): boolean {
  return id.startsWith(EXPORT);
}

function checkSlots(value: unknown): SlotsFile {
  const slots = isObject(value) ? value['slots'] : undefined;
  if (!isObject(slots)) throw new Error('"slots" is no object');
  for (const [id, slot] of Object.entries(slots)) {
    const position = isObject(slot) ? slot['position'] : undefined;
    if (typeof position !== 'string' || parsePosition(position) === undefined) {
      throw new Error(`"slots.${id}" has no position`);
    }

    const age = isObject(slot) ? (slot['ageSeconds'] ?? 0) : 0;
    if (!Number.isSafeInteger(age) || Number(age) < 0) {
      throw new Error(`"slots.${id}.ageSeconds" is no count of seconds`);
    }
  }

  const dropped = isObject(value) ? (value['dropped'] ?? {}) : {};
  if (!isObject(dropped)) throw new Error('"dropped" is no object');
  return value as SlotsFile;
}

export interface CapInput {
  /** The wish, logCapBytes of resource.json. */
  readonly capBytes: number;
  /** Free on the file system of the log. */
  readonly freeBytes: number;
  /** Bytes of log now. */
  readonly logBytes: number;
}

/** The cap in force: the log never takes more than half of what it and the free space have. */
export function capInForce({capBytes, freeBytes, logBytes}: CapInput): number {
  return Math.min(capBytes, Math.trunc((freeBytes + logBytes) / 2));
}
