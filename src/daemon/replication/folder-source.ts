/**
 * A folder with exported files in the place of a source: what a peer would send comes from files that
 * somebody brings there. The disk process speaks the same protocol with it, over a stream inside the
 * daemon, and believes it no more than a peer.
 *
 * A stream is opened when there is something to take, and ends when all of it was taken. Between two
 * streams the folder is looked at: at once when something in it changes, and every few seconds, as
 * not every file system tells.
 */
import {watch, type FSWatcher} from 'chokidar';
import type {Duplex} from 'node:stream';
import {basename} from 'node:path';
import type {ErrorCode} from '../../core/codes.js';
import type {Clock} from '../../core/clock.js';
import type {DiskStatus} from '../../core/disk-status.js';
import {DiskError, isDiskError, storeError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition} from '../../core/position.js';
import type {Hello} from '../../log/frames.js';
import type {LineageEntry} from '../../log/lineage.js';
import {parseChain} from '../../log/record.js';
import {listBases, serveBase} from '../../replica/folder-base.js';
import {readExportFileOf} from '../../replica/folder-file.js';
import {FolderLog, type FolderHint, type FolderStand} from '../../replica/folder-log.js';
import {localStream} from '../../replica/local-stream.js';
import {LogServer} from '../../replica/serve-log.js';
import type {StreamProtocol} from './disk-stream.js';
import {numberOf, type FollowerInput} from './replica-state.js';

export interface FolderSourceOptions {
  readonly folder: string;
  readonly resourceId: string;
  readonly nodeId: string;
  readonly clock: Clock;
  /** Only these logfiles, by their names; absent: all in the folder. */
  readonly only?: ReadonlyMap<string, string>;
  /** Something in the folder has changed. */
  readonly onChange: () => void;
}

/** What there is to do with the folder now. */
export type FolderStep =
  | {readonly kind: 'open'; readonly protocol: StreamProtocol}
  | {
      readonly kind: 'wait';
      readonly flow: 'sync' | 'fetch';
      readonly reason: string;
      /** Something is wrong, not only missing. */
      readonly code: ErrorCode | undefined;
      /** All that the folder is known to have is here. */
      readonly isComplete: boolean;
    };

/** All was taken, and for so long nothing came: the stream ends. */
const QUIET_MS = 1000;
/** The folder is read no more often while a stream runs. */
const RELOOK_MS = 250;
const CHANGE_MS = 200;

/** The folder of one resource; while it is followed. */
export class FolderSource {
  readonly #options: FolderSourceOptions;
  readonly #log: FolderLog;
  #watcher: FSWatcher | undefined;
  #changeTimer: NodeJS.Timeout | undefined;
  #hint: FolderHint | undefined;
  #exportedMs: number | undefined;
  #fault: DiskError | undefined;
  #foreign: readonly string[] = [];
  #step: FolderStep | undefined;

  constructor(options: FolderSourceOptions) {
    this.#options = options;
    const {folder, resourceId, only} = options;
    this.#log = new FolderLog(createNodeFiles(), folder, resourceId, only);
  }

  get folder(): string {
    return this.#options.folder;
  }

  /** For people: where things come from. */
  get name(): string {
    return `folder ${this.folder}`;
  }

  /** End of what the folder has, as far as it is known; fixed-width hex. */
  get end(): string | null {
    const end = Math.max(this.#log.end, this.#hint?.end ?? 0);
    return end === 0 ? null : formatPosition(end);
  }

  /** What the folder stands for in the place of a primary, for the state of the replica. */
  told(
    nowMs: number,
  ): Pick<FollowerInput, 'primaryEnd' | 'primaryEpoch' | 'linkUp' | 'silentMs' | 'folderAgeMs'> {
    const exportedMs = this.#exportedMs;
    return {
      ...{primaryEnd: this.end, primaryEpoch: null, linkUp: true, silentMs: 0},
      // Of what was written since the export nothing can be known.
      folderAgeMs: exportedMs === undefined ? null : nowMs - exportedMs,
    };
  }

  /** Names of logfiles of other resources. */
  get foreign(): readonly string[] {
    return this.#foreign;
  }

  /** What the last look found. */
  get step(): FolderStep | undefined {
    return this.#step;
  }

  /** Why the last stream ended, once; undefined for an orderly end. */
  takeFault(): DiskError | undefined {
    const fault = this.#fault;
    this.#fault = undefined;
    return fault;
  }

  /** Begins to watch: `onChange` is called when something has changed. */
  watch(): void {
    if (this.#watcher !== undefined) return;
    const {folder, onChange} = this.#options;
    this.#watcher = watch(folder, {
      ...{ignoreInitial: true, depth: 0, followSymlinks: false},
      ignored: (path) => path !== folder && basename(path).startsWith('.'),
    });
    this.#watcher.on('all', () => {
      this.#changeTimer ??= setTimeout(() => {
        this.#changeTimer = undefined;
        onChange();
      }, CHANGE_MS);
    });
    // Where it cannot be watched it is looked at every few seconds all the same.
    this.#watcher.on('error', () => undefined);
  }

  async close(): Promise<void> {
    clearTimeout(this.#changeTimer);
    await this.#watcher?.close();
    this.#watcher = undefined;
  }

  /** What is to be done for a replica that stands so. Never throws but for bugs. */
  async look(status: DiskStatus, lineage: readonly LineageEntry[]): Promise<FolderStep> {
    const phase = status.follow?.phase;
    const flow = phase === 'empty' || phase === 'syncing' ? 'sync' : 'fetch';
    try {
      this.#readHint();
      this.#step = flow === 'sync' ? this.#lookForBase() : await this.#lookForLog(status, lineage);
    } catch (error) {
      const known = storeError(error, `read ${this.folder}`);
      if (!(known instanceof DiskError)) throw error;
      const {code, message: reason} = known;
      this.#step = {kind: 'wait', flow, reason: `${code}: ${reason}`, code, isComplete: false};
    }

    return this.#step;
  }

  /** Opens a stream; who reads it is a disk process in mode `follow`. */
  open(protocol: StreamProtocol): Duplex {
    const [here, there] = localStream();
    const serve =
      protocol === 'mars-sync/1'
        ? serveBase(here, this.folder, this.#options.resourceId)
        : this.#serveLog(here);
    serve.catch((error: unknown) => {
      const words = error instanceof Error ? error.message : String(error);
      this.#fault = isDiskError(error) ? error : new DiskError('BUG', words, {}, {cause: error});
      here.destroy();
    });
    return there;
  }

  #readHint(): void {
    const file = readExportFileOf(this.folder, this.#options.resourceId);
    this.#hint = file && {lineage: file.lineage, end: numberOf(file.end)};
    this.#exportedMs = file && Date.parse(file.at);
  }

  #lookForBase(): FolderStep {
    if (listBases(this.folder).length > 0) return {kind: 'open', protocol: 'mars-sync/1'};
    const reason =
      `a base image in ${this.folder}: mars log export NAME DIR --base makes one where the ` +
      'resource is';
    return {kind: 'wait', flow: 'sync', reason, code: undefined, isComplete: false};
  }

  async #lookForLog(status: DiskStatus, lineage: readonly LineageEntry[]): Promise<FolderStep> {
    const {nodeId} = this.#options;
    const position = numberOf(status.position);
    const chain = parseChain(status.chain ?? '') ?? {low: 0, high: 0};
    const to = numberOf(status.replayingTo);
    const view = await this.#log.look({nodeId, position, chain, to, lineage}, this.#hint);
    this.#foreign = view.foreign;
    const isKnown = numberOf(status.follow?.originDurable ?? '0') >= view.end;
    if (view.kind === 'parted' || (view.kind === 'follow' && (view.end > position || !isKnown))) {
      return {kind: 'open', protocol: 'mars-log/1'};
    }

    const {code, isComplete, reason} = view;
    const words = code === undefined ? reason : `${code}: ${reason}`;
    return {kind: 'wait', flow: 'fetch', reason: `${words} (${this.folder})`, code, isComplete};
  }

  async #serveLog(stream: Duplex): Promise<void> {
    const {folder, resourceId, clock} = this.#options;
    const log = this.#log;
    let stand: FolderStand | undefined;
    let lookedMs = -Infinity;
    let movedMs = clock.monotonicMs();
    let confirmed = -1;
    const look = async (): Promise<void> => {
      if (stand === undefined || clock.monotonicMs() - lookedMs < RELOOK_MS) return;
      const before = log.end;
      try {
        await log.look(stand, this.#hint);
      } catch (error) {
        throw storeError(error, `read ${folder}`);
      }

      lookedMs = clock.monotonicMs();
      if (log.end !== before) movedMs = lookedMs;
    };
    const server = new LogServer({
      stream,
      clock,
      place: {files: log.view(), directory: folder, resourceId},
      log: async (hello) => {
        stand = standOf(hello);
        await look();
        return {lineage: log.lineage, position: log.end, sizeBytes: log.sizeBytes};
      },
      positions: async () => {
        await look();
        const isQuiet = clock.monotonicMs() - movedMs > QUIET_MS;
        if (isQuiet && confirmed >= log.end) server.stop(DONE);
        return {appended: log.end, epoch: log.epoch, durable: log.end, timeMs: clock.wallMs()};
      },
      onAck: ({durable}) => {
        if (confirmed < log.end && durable >= log.end) movedMs = clock.monotonicMs();
        confirmed = durable;
      },
    });
    const {code, text} = await server.run();
    if (!isDamage(code)) return;
    log.forget();
    throw new DiskError(code, `${folder}: ${text}`);
  }
}

const DONE = {code: 'DONE', text: 'all that is in the folder was sent'};

function isDamage(code: string): code is 'LOG_CORRUPT' | 'LOG_FORMAT' | 'STORE_IO' {
  return code === 'LOG_CORRUPT' || code === 'LOG_FORMAT' || code === 'STORE_IO';
}

function standOf({nodeId, position, chain, to, lineage}: Hello): FolderStand {
  return {
    nodeId,
    position: numberOf(position),
    chain: parseChain(chain) ?? {low: 0, high: 0},
    to: numberOf(to),
    lineage,
  };
}
