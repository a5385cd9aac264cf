/**
 * Logfiles in a folder as a log that a replica can follow. They arrive by any means: in any order,
 * half written, twice, damaged, of another resource, of another history. Nothing is believed but
 * what joins, record by record, what the replica has: whatever does not is named and waited for.
 *
 *   a logfile is there that goes on      its valid records count, up to the first that is not
 *   the one that goes on is missing      waited for, by the position where it begins
 *   it has no valid record there         waited for: it is not whole yet, or damaged
 *   it is of another resource            passed over, and named
 *   it parts from what the replica has   told as a fork, by the source that reads it (log-source.ts)
 *
 * Only what was durable at its origin is ever exported, so all that counts here may be replayed.
 */
import {basename, join} from 'node:path';
import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {formatPosition, parsePosition} from '../core/position.js';
import {readSegmentFile, type SegmentFile} from '../log/directory.js';
import type {LineageEntry} from '../log/lineage.js';
import {
  formatChain,
  isSameChain,
  parseChain,
  RECORD_HEADER_BYTES,
  type Chain,
} from '../log/record.js';
import {parseSegmentName, SEGMENT_HEADER_BYTES} from '../log/segment.js';
import {findCommonPoint} from './common-point.js';
import {isSameSegment, READ_BYTES, SegmentReader} from './segment-reader.js';

/** What the replica has. */
export interface FolderStand {
  readonly nodeId: string;
  readonly position: number;
  readonly chain: Readonly<Chain>;
  /** The image may hold blocks of everything below. */
  readonly to: number;
  readonly lineage: readonly LineageEntry[];
}

/** What `export.json` says, where it is there. */
export interface FolderHint {
  readonly lineage: readonly LineageEntry[];
  readonly end: number;
}

export interface FolderView {
  /** `follow`: the log goes on from the replica's up to `end`. `parted`: it is another history. */
  readonly kind: 'follow' | 'parted' | 'wait';
  readonly end: number;
  /** What is missing, or wrong, behind `end`; for people. */
  readonly reason: string;
  /** Something is wrong with a file that is there. */
  readonly code: 'FOLDER_DAMAGED' | undefined;
  /** Nothing is known to be missing. */
  readonly isComplete: boolean;
  /** Names of files that belong to another resource. */
  readonly foreign: readonly string[];
}

interface Place {
  readonly file: SegmentFile;
  readonly position: number;
  readonly chain: Readonly<Chain>;
}

/** What one look reads at most, so that a folder with much in it does not hold up the others. */
const LOOK_BYTES = 64 * 1024 * 1024;

/** Walks the logfiles of one resource in a folder. */
export class FolderLog {
  readonly folder: string;
  readonly #files: Files;
  readonly #resourceId: string;
  readonly #only: ReadonlyMap<string, string> | undefined;
  readonly #memory = Buffer.allocUnsafe(READ_BYTES);
  #segments: SegmentFile[] = [];
  #foreign: string[] = [];
  #place: Place | undefined;
  #begin = 0;
  #used: SegmentFile[] = [];
  /** Where the log of another history ends at least. */
  #partedEnd = 0;
  #lineage: readonly LineageEntry[] = [];
  #hint: FolderHint | undefined;

  /** @param only paths of logfiles that count in place of all in the folder, by their names */
  constructor(
    files: Files,
    folder: string,
    resourceId: string,
    only?: ReadonlyMap<string, string>,
  ) {
    this.#files = files;
    this.folder = folder;
    this.#resourceId = resourceId;
    this.#only = only;
  }

  /** Epochs of the folder, with those of the replica that it goes on from. */
  get lineage(): readonly LineageEntry[] {
    return this.#lineage;
  }

  /** Up to here the log goes on. */
  get end(): number {
    return this.#place?.position ?? this.#partedEnd;
  }

  /** Epoch of the last logfile that counts. */
  get epoch(): string {
    return this.#used.at(-1)?.header.epoch ?? '';
  }

  /** Size of the disk when that logfile began. */
  get sizeBytes(): number {
    return this.#used.at(-1)?.header.diskSizeBytes ?? 0;
  }

  /** The logfiles that count, for a reader that takes a directory: no other is seen in it. */
  view(): Files {
    const path = (name: string): string => this.#pathOf(basename(name));
    return {
      ...this.#files,
      list: () => this.#used.map(({name}) => name),
      open: (name, mode) => this.#files.open(path(name), mode),
    };
  }

  /**
   * Looks at what is in the folder now, and how far it goes on from `stand`.
   *
   * @throws DiskError LOG_FORMAT for a file of a newer version, or the error of the file system
   */
  async look(stand: FolderStand, hint: FolderHint | undefined): Promise<FolderView> {
    this.#list();
    this.#hint = hint;
    this.#lineage = this.#joinedLineage(stand.lineage);
    if (!this.#hasWalked(stand)) {
      const fault = await this.#start(stand);
      if (fault !== undefined) return this.#answer(fault);
    }

    await this.#walk();
    return this.#answer(this.#stopped());
  }

  /** What was walked over does not hold any more: the next look begins anew. */
  forget(): void {
    this.#place = undefined;
    this.#used = [];
  }

  #answer(stop: Pick<FolderView, 'kind' | 'reason'> & Partial<FolderView>): FolderView {
    return {code: undefined, isComplete: false, ...stop, end: this.end, foreign: this.#foreign};
  }

  #pathOf(name: string): string {
    return this.#only?.get(name) ?? join(this.folder, name);
  }

  #list(): void {
    const names = this.#only === undefined ? this.#files.list(this.folder) : [...this.#only.keys()];
    this.#segments = [];
    this.#foreign = [];
    for (const name of names.filter((each) => parseSegmentName(each) !== undefined)) {
      const file = this.#read(name);
      if (file?.header.started !== true) continue;
      if (file.header.resourceId === this.#resourceId) this.#segments.push(file);
      else this.#foreign.push(name);
    }

    this.#segments.sort((one, other) => one.header.number - other.header.number);
    const before = this.#used;
    this.#used = before.flatMap(({name, header, fileBytes}) => {
      const now = this.#segments.find((each) => each.name === name);
      const isThere = now !== undefined && now.fileBytes >= fileBytes;
      return isThere && isSameSegment(now.header, header) ? [now] : [];
    });
    // What was brought again with less in it has to be walked again.
    if (this.#used.length < before.length) this.forget();
  }

  #read(name: string): SegmentFile | undefined {
    try {
      return readSegmentFile(this.#files, this.#pathOf(name), name);
    } catch (error) {
      // It is being replaced, or is a directory.
      if (['ENOENT', 'EISDIR', 'EACCES'].includes(errnoOf(error) ?? '')) return undefined;
      throw error;
    }
  }

  /** What the replica has was walked over already: only what is behind is new. */
  #hasWalked({position}: FolderStand): boolean {
    const place = this.#place;
    if (place === undefined || position < this.#begin || position > place.position) return false;
    return this.#used.some(({name}) => name === place.file.name);
  }

  /** Looks for the logfile that holds what comes next. @returns why there is none */
  async #start(stand: FolderStand): Promise<Pick<FolderView, 'kind' | 'reason'> | undefined> {
    this.#place = undefined;
    this.#used = [];
    const {position, chain} = stand;
    const at = formatPosition(position);
    let short: string | undefined;
    let other: SegmentFile | undefined;
    for (const file of this.#holding(position)) {
      const reached = await this.#reach(file, position);
      if (reached === 'short') short = file.name;
      else if (reached === 'other' || !isSameChain(reached, chain)) other = file;
      else {
        this.#enter({file, position, chain: reached});
        return undefined;
      }
    }

    const parted = this.#parted(stand);
    if (parted?.kind === 'cut') {
      const entry = this.#lineage.find(({start}) => start === formatPosition(parted.position));
      const cutChain = parseChain(entry?.chain ?? '');
      const file = this.#holding(parted.position).find(({header}) => header.epoch === entry?.epoch);
      if (file !== undefined && cutChain !== undefined) {
        this.#enter({file, position: parted.position, chain: cutChain});
        return undefined;
      }
    }

    if (parted?.kind === 'forked' || other !== undefined) {
      // The source that reads these says from where on they differ.
      this.#used = other === undefined ? [] : [other];
      return {kind: 'parted', reason: `the logfiles are of another history than the log here`};
    }

    if (short !== undefined) return {kind: 'wait', reason: `${short} ends below ${at}: its rest`};
    const first = this.#segments[0];
    const has =
      first === undefined
        ? 'there is no logfile of this resource yet'
        : `the oldest that is there begins at ${formatPosition(this.#lowest())}`;
    return {kind: 'wait', reason: `the logfile with position ${at}: ${has}`};
  }

  #lowest(): number {
    return Math.min(...this.#segments.map(({header}) => header.start));
  }

  #enter(place: Place): void {
    this.#place = place;
    this.#begin = place.position;
    this.#used = [place.file];
  }

  /** Files that may hold a record at `position`, or begin there; those that begin last first. */
  #holding(position: number): SegmentFile[] {
    return this.#segments
      .filter(({header: {start, capacityBytes, epoch}}) => {
        const fits = start <= position && position <= start + capacityBytes;
        return fits && this.#limitOf(epoch) >= position;
      })
      .sort((one, other) => other.header.start - one.header.start);
  }

  /** Chain value at `position`, by walking the file from its beginning. */
  async #reach(file: SegmentFile, position: number): Promise<Chain | 'short' | 'other'> {
    const reader = SegmentReader.open(this.#files, file.path, file.header);
    if (reader === undefined) return 'short';
    try {
      while (reader.position < position && reader.read(position, this.#memory) !== undefined)
        await rest();
      if (reader.position === position) return {...reader.chain};
      return reader.read(Infinity, this.#memory) === undefined ? 'short' : 'other';
    } finally {
      reader.close();
    }
  }

  /** Where the epoch after `epoch` begins: nothing of it counts from there on. */
  #limitOf(epoch: string): number {
    const at = this.#lineage.findIndex((entry) => entry.epoch === epoch);
    const next = at < 0 ? undefined : this.#lineage[at + 1];
    return next === undefined ? Infinity : (parsePosition(next.start) ?? Infinity);
  }

  /** Reads on from where the last look ended. */
  async #walk(): Promise<void> {
    const until = this.end + LOOK_BYTES;
    for (let place = this.#place; place !== undefined && place.position < until;) {
      const file = this.#segments.find(({name}) => name === place?.file.name) ?? place.file;
      place = await this.#readOn({...place, file}, until);
      this.#place = place;
      const next = this.#following(place);
      if (next === undefined) return;
      this.#place = {...place, file: next};
      place = this.#place;
      this.#used.push(next);
    }
  }

  async #readOn(place: Place, until: number): Promise<Place> {
    const {file} = place;
    const reader = SegmentReader.open(this.#files, file.path, file.header);
    if (reader === undefined) return place;
    const limit = this.#limitOf(file.header.epoch);
    try {
      reader.moveTo(place.position, place.chain);
      while (reader.position < until && reader.read(limit, this.#memory) !== undefined)
        await rest();
      return {file, position: reader.position, chain: {...reader.chain}};
    } finally {
      reader.close();
    }
  }

  /** The logfile that begins where another one ends; of the same one twice the longer one. */
  #following({file, position, chain}: Place): SegmentFile | undefined {
    const known = this.#segments.filter(
      ({header}) =>
        header.start === position &&
        isSameChain(header.chain, chain) &&
        !this.#used.some((used) => isSameSegment(used.header, header)),
    );
    const twice = this.#segments.filter(
      (each) =>
        isSameSegment(each.header, file.header) &&
        each.name !== file.name &&
        each.fileBytes > SEGMENT_HEADER_BYTES + position - each.header.start,
    );
    const rank = ({header}: SegmentFile): number =>
      this.#lineage.findIndex(({epoch}) => epoch === header.epoch);
    return [...known, ...twice]
      .filter((each) => !this.#used.includes(each))
      .sort((one, other) => rank(one) - rank(other) || other.fileBytes - one.fileBytes)[0];
  }

  /** Why it does not go on. */
  #stopped(): Pick<FolderView, 'kind' | 'reason' | 'code' | 'isComplete'> {
    const {file, position} = this.#place ?? {file: undefined, position: 0};
    const at = formatPosition(position);
    const later = this.#segments.filter(({header}) => header.start > position);
    const follow = (reason: string, code?: 'FOLDER_DAMAGED') =>
      ({kind: 'follow', reason, code, isComplete: false}) as const;
    const isMore = later.length > 0 || (this.#hint?.end ?? 0) > position;
    if (file === undefined || !isMore) {
      const reason = `the next logfile: all that is there, up to ${at}, is here`;
      return {...follow(reason), isComplete: true};
    }

    const {header, fileBytes, name} = file;
    const restBytes = fileBytes - (SEGMENT_HEADER_BYTES + position - header.start);
    const successor = later.find(({header: next}) => next.number === header.number + 1);
    if (restBytes >= RECORD_HEADER_BYTES && (successor !== undefined || later.length === 0)) {
      const words = `${name} has no valid record at ${at}, ${restBytes} bytes before its end`;
      return follow(`${words}: damaged, or not whole yet; bring it again`, 'FOLDER_DAMAGED');
    }

    if (successor !== undefined) return follow(`the rest of ${name}: it ends at ${at}`);
    const ones = later.length === 1 ? 'one later one is' : `${later.length} later ones are`;
    const have = later.length === 0 ? 'export.json says that there is more' : `${ones} there`;
    return follow(`the logfile that goes on at ${at}: ${have}`);
  }

  /** Epochs of the folder and of the replica, so that the two can be compared. */
  #joinedLineage(own: readonly LineageEntry[]): readonly LineageEntry[] {
    const told = this.#hint?.lineage ?? [];
    // Without export.json: what the headers of the first logfiles of epochs say.
    const headers = this.#segments.filter(({header}) => header.start === header.epochStart);
    const read = headers.map(({header}): LineageEntry => {
      const {epoch, originId: node, originName: nodeName, chain} = header;
      return {
        epoch,
        node,
        nodeName,
        start: formatPosition(header.start),
        chain: formatChain(chain),
      };
    });
    const base = told.length > 0 ? told : own.filter(({start}) => !isBehind(start, read));
    const known = new Set(base.map(({epoch}) => epoch));
    const newest = base.at(-1)?.start ?? '';
    const more = read.filter(({epoch, start}) => !known.has(epoch) && start >= newest);
    return [...base, ...more.sort((one, other) => (one.start < other.start ? -1 : 1))];
  }

  #parted({
    lineage,
    position,
    nodeId,
    to,
  }: FolderStand): {kind: string; position: number} | undefined {
    const starts = this.#segments.map(({header}) => header.start);
    const end = Math.max(this.#hint?.end ?? 0, ...starts);
    this.#partedEnd = Math.max(end, position);
    const common = findCommonPoint(
      {lineage: this.#lineage, position: end},
      {lineage, position, nodeId, to},
    );
    return common.kind === 'forked' || common.kind === 'cut' ? common : undefined;
  }
}

/** true where an epoch of the folder that is not among ours began below. */
function isBehind(start: string, read: readonly LineageEntry[]): boolean {
  const first = read[0];
  return first !== undefined && start > first.start && !read.some((each) => each.start === start);
}

/** Others get their turn between two pieces. */
function rest(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
