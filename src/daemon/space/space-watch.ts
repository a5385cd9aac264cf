/**
 * Looks after the room for logs: which resources share a file system, how full it is, and what is
 * done when it gets short (volume.ts). Also tells each disk process the policy of its resource, and
 * how far the slowest replica is that fetches.
 */
import fs from 'node:fs/promises';
import {dirname} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {FileSystemSpace} from '../../control/space-api.js';
import {assert} from '../../core/assert.js';
import type {SpaceWish} from '../../core/disk-status.js';
import {isDiskError} from '../../core/errors.js';
import {spacePolicyOf} from '../../core/space.js';
import type {Context} from '../context.js';
import {callDisk} from '../disk-call.js';
import {spaceOf} from '../file-system-space.js';
import type {MarsNode} from '../node.js';
import type {Resource} from '../resource.js';
import {whenFullInForce} from '../replication/bypass-rules.js';
import {findReserve, reserveBytesFor, type Reserve} from './reserve.js';
import {Volume, type Member} from './volume.js';

const LOOK_MS = 2000;
/** A log is not brought to another file system every other second. */
const PLACES_KEPT_MS = 10_000;
/** A disk that slows its writes for a replica wants to know more often how far that is. */
const TELL_MS = 500;
const DISK_TIMEOUT_MS = 2000;
const STAT_TIMEOUT_MS = 1000;

/** What others ask of it. */
export interface SpaceServices {
  /** Of the log's file system, with forecast and reserve; undefined where it was not looked at yet. */
  spaceOf(name: string): FileSystemSpace | undefined;
  /** Log of the resources that give way before this one and lie on the same file system. */
  yieldingBytes(name: string): number;
}

interface Place {
  readonly resource: Resource;
  readonly directory: string;
  readonly device: number;
}

/** One per daemon. */
export class SpaceWatch implements SpaceServices {
  readonly #node: MarsNode;
  readonly #context: Context;
  readonly #volumes = new Map<number, Volume>();
  /** For which places a volume was found. */
  readonly #volumesSeen = new Map<number, {volume: Volume; places: readonly Place[]}>();
  readonly #low = new Set<string>();
  readonly #troubled = new Set<string>();
  readonly #abort = new AbortController();
  #places: Place[] = [];
  #placedMs = -Infinity;
  #loop: Promise<void> | undefined;

  constructor(node: MarsNode) {
    this.#node = node;
    this.#context = node.context;
    node.context.space = this;
  }

  /** Begins to look. */
  start(): void {
    this.#loop ??= this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  spaceOf(name: string): FileSystemSpace | undefined {
    const place = this.#placeOf(name);
    return place === undefined ? undefined : this.#volumes.get(place.device)?.space;
  }

  yieldingBytes(name: string): number {
    const place = this.#placeOf(name);
    if (place === undefined) return 0;
    const own = spacePolicyOf(place.resource.file).priority;
    return this.#places
      .filter(({device, resource}) => device === place.device && resource.fault === undefined)
      .filter(({resource}) => spacePolicyOf(resource.file).priority < own)
      .reduce((sum, {resource}) => sum + (resource.disk?.log.bytes ?? 0), 0);
  }

  /** Looks once at everything. */
  async look(): Promise<void> {
    const resources = this.#node.resources().filter(({fault}) => fault === undefined);
    const before = this.#places;
    const nowMs = this.#context.clock.monotonicMs();
    const isSame =
      before.length === resources.length &&
      before.every(({resource}, index) => resource === resources[index]);
    if (!isSame || nowMs - this.#placedMs >= PLACES_KEPT_MS) {
      const places = await Promise.all(resources.map((resource) => placeOf(resource)));
      this.#places = places.filter((place) => place !== undefined);
      this.#placedMs = nowMs;
    }

    const devices = new Set(this.#places.map(({device}) => device));
    for (const [device, {reserve}] of this.#volumes) {
      if (devices.has(device)) continue;
      this.#volumes.delete(device);
      this.#volumesSeen.delete(device);
      const last = before.filter((place) => place.device === device);
      const isGone = last.every(({resource}) => !this.#node.resources().includes(resource));
      // One that only does not answer is found again, as it was.
      if (isGone) await this.#dropReserve(reserve);
    }

    for (const device of devices) await this.#lookAt(device);
  }

  /** Tells all disk processes what they do not know yet. */
  async tellAll(): Promise<void> {
    await Promise.all(this.#places.map(({resource}) => this.#tellPolicy(resource, false)));
  }

  #placeOf(name: string): Place | undefined {
    return this.#places.find(
      ({resource}) => resource.name === name && resource.fault === undefined,
    );
  }

  async #run(): Promise<void> {
    const {signal} = this.#abort;
    let lookedMs = -Infinity;
    while (!signal.aborted) {
      try {
        const now = this.#context.clock.monotonicMs();
        if (now - lookedMs >= LOOK_MS) {
          lookedMs = now;
          await this.look();
        }

        await this.tellAll();
      } catch (error) {
        this.#context.log.warn({err: error}, 'space for logs: tried again');
      }

      await sleep(TELL_MS, undefined, {signal}).catch(() => undefined);
    }
  }

  async #lookAt(device: number): Promise<void> {
    const places = this.#places.filter((place) => place.device === device);
    const first = places[0];
    const space = first === undefined ? null : await spaceOf(first.directory);
    if (first === undefined || space === null) return;
    const volume = await this.#volumeOf(device, places);
    const members = places.map(({resource}) => this.#member(resource));
    const reserveBytes = reserveBytesFor(
      Math.max(...members.map(({segmentBytes}) => segmentBytes)),
      space.totalBytes,
    );
    const nowMs = this.#context.clock.monotonicMs();
    const {low, reserve} = await volume.look({space, members, nowMs}, reserveBytes);
    this.#tellReserve(first.directory, reserve);
    for (const {resource} of places) this.#tellLow(resource, low);
  }

  /** With its reserve in the home where that is the same file system, else beside a log. */
  async #volumeOf(device: number, places: readonly Place[]): Promise<Volume> {
    const before = this.#volumes.get(device);
    const usual = this.#volumesSeen.get(device);
    if (before !== undefined && usual?.volume === before && usual.places === this.#places) {
      return before;
    }

    const volume = await this.#findVolume(device, places);
    this.#volumesSeen.set(device, {volume, places: this.#places});
    return volume;
  }

  async #findVolume(device: number, places: readonly Place[]): Promise<Volume> {
    const {home} = this.#context.paths;
    const {dev} = await fs.stat(home);
    const logs = await Promise.all(places.map(({directory}) => fs.realpath(directory)));
    const [first, ...rest] = dev === device ? [home, ...logs] : logs;
    assert(first !== undefined, 'a file system that is looked at has a log');
    const known = this.#volumes.get(device);
    if (known !== undefined && [first, ...rest].includes(dirname(known.reserve.path))) return known;
    const {reserve, others} = findReserve([first, ...rest]);
    const volume = known ?? new Volume(reserve);
    const former = known === undefined ? others : [known.reserve, ...others];
    for (const one of former) await this.#dropReserve(one);
    volume.reserve = reserve;
    this.#volumes.set(device, volume);
    return volume;
  }

  /** One too many, or in a directory that is no log's any more, where nobody would look for it. */
  async #dropReserve({path}: Reserve): Promise<void> {
    try {
      await fs.rm(path, {force: true});
    } catch (error) {
      this.#context.log.warn(
        {err: error, path},
        'a reserve that is not used any more cannot be removed',
      );
    }
  }

  #member(resource: Resource): Member {
    const {name, file, disk, lastDisk} = resource;
    return {
      name,
      disk,
      isTroubled: this.#isTroubled(resource),
      priority: spacePolicyOf(file).priority,
      segmentBytes: file.segmentBytes,
      trim: () => this.#tellPolicy(resource, true),
      sacrifice: () => {
        const replica = this.#node.replication?.replica(name);
        // One that cannot start for want of room has said before where it stood.
        return lastDisk !== undefined && (replica?.retention.sacrifice(lastDisk) ?? false);
      },
    };
  }

  /** One that starts again and again says nothing while it starts: then it is as it was. */
  #isTroubled(resource: Resource): boolean {
    const {name, disk} = resource;
    const isStarting = disk?.phase === 'starting' || disk?.phase === 'recovering';
    if (isStarting) return this.#troubled.has(name);
    const isTroubled = hasNoRoom(resource);
    if (isTroubled) this.#troubled.add(name);
    else this.#troubled.delete(name);
    return isTroubled;
  }

  /** Only where the disk process does not know it yet, or has to be told again and again. */
  async #tellPolicy(resource: Resource, trim: boolean): Promise<void> {
    const {disk, name, places} = resource;
    if (disk?.mode !== 'serve' || disk.phase !== 'serving' || resource.fault !== undefined) return;
    const whenFull = whenFullInForce(this.#context, resource.file);
    // One of an older version has no such thing.
    if (disk.space === undefined) return;
    if (!trim && whenFull !== 'throttle' && disk.space.whenFull === whenFull) return;
    const fetch = this.#node.replication?.replica(name)?.fetchStanding(disk) ?? null;
    const wish: SpaceWish = {whenFull, fetch, trim};
    try {
      await callDisk(places.paths.socket, '/space', DISK_TIMEOUT_MS, wish);
    } catch (error) {
      // It is told again with the next look.
      if (!isDiskError(error)) throw error;
    }
  }

  #tellReserve(directory: string, step: 'freed' | 'taken' | undefined): void {
    if (step === 'freed') {
      const text = `the log in ${directory} has no room: the reserve of its file system was freed`;
      this.#context.tell('RESERVE_FREED', 'warning', null, text);
    } else if (step === 'taken') {
      const text = `space is held in reserve on the file system of ${directory}`;
      this.#context.tell('RESERVE_TAKEN', 'info', null, text);
    }
  }

  #tellLow(resource: Resource, low: string | undefined): void {
    const {name} = resource;
    if (low === undefined) {
      if (!this.#low.delete(name)) return;
      resource.hush('LOG_ROOM_LOW');
      this.#context.tell('ROOM_BACK', 'info', name, `the log of ${name} has enough room again`);
      return;
    }

    resource.say('LOG_ROOM_LOW', 'warning', low);
    if (this.#low.has(name)) return;
    this.#low.add(name);
    this.#context.tell('LOG_ROOM_LOW', 'warning', name, low);
  }
}

/** Its disk process says so, or said so when it could not start. */
function hasNoRoom(resource: Resource): boolean {
  const {disk, messages} = resource;
  const said = [...messages, ...(disk?.messages ?? [])];
  if (said.some(({code}) => code === 'LOG_SPACE')) return true;
  return disk === undefined && resource.lastWords()?.code === 'LOG_SPACE';
}

/** undefined where the directory is not there, or does not answer in time. */
async function placeOf(resource: Resource): Promise<Place | undefined> {
  const directory = resource.places.paths.logDirectory;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, STAT_TIMEOUT_MS, undefined);
  });
  const asked = fs.stat(directory).then(
    ({dev}) => ({resource, directory, device: dev}),
    () => undefined,
  );
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}
