/**
 * Nodes with one resource, on real files and without processes: logs that were written, images that
 * were replayed, and what two nodes do with them after both were primary. The steps are those of
 * the daemon and of the disk process: `resolveFork`, `undoFork`, the copy, the log.
 */
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import type {Duplex} from 'node:stream';
import {join} from 'node:path';
import * as assert from 'uvu/assert';
import type {ResourceFacts} from '../../../src/cluster/facts.js';
import {systemClock} from '../../../src/core/clock.js';
import {createNodeFiles} from '../../../src/core/files.js';
import {resourcePaths, type ResourceFile} from '../../../src/core/home.js';
import {readJsonFile, writeJsonFile} from '../../../src/core/json-file.js';
import {BLOCK_BYTES} from '../../../src/core/limits.js';
import type {DiskError} from '../../../src/core/errors.js';
import {formatPosition} from '../../../src/core/position.js';
import type {Context} from '../../../src/daemon/context.js';
import {copyAgain} from '../../../src/daemon/replication/begin-copy.js';
import {replayOnto} from '../../../src/daemon/replication/branch-image.js';
import {resolveFork} from '../../../src/daemon/replication/fork.js';
import {partingPoint} from '../../../src/daemon/replication/right.js';
import type {KnownReplica} from '../../../src/daemon/replication/role-services.js';
import {standingOf} from '../../../src/daemon/replication/standing.js';
import {Resource} from '../../../src/daemon/resource.js';
import {Committer} from '../../../src/disk/committer.js';
import {readDiskConfig} from '../../../src/disk/config.js';
import {activateFollow, forgetLog} from '../../../src/disk/follow-activation.js';
import {FollowLog} from '../../../src/disk/follow-log.js';
import {readNextState} from '../../../src/disk/next-state.js';
import {createReplayHost} from '../../../src/disk/replay-host.js';
import {Shared, SHARED_BYTES} from '../../../src/disk/shared.js';
import {readSyncState, removeSyncState} from '../../../src/disk/sync-state.js';
import {runSyncTarget} from '../../../src/disk/sync-target.js';
import {openReplayState, replaceReplayState} from '../../../src/image/replay-state.js';
import {Replayer} from '../../../src/image/replay.js';
import {readLogDirectory} from '../../../src/log/directory.js';
import {DURABLE_FILE_BYTES, encodeDurableWord} from '../../../src/log/durable-word.js';
import {FrameReader} from '../../../src/log/frame-reader.js';
import {decodeSegment, encodeSegment} from '../../../src/log/frames.js';
import {readLineage, type LineageEntry} from '../../../src/log/lineage.js';
import {formatChain, parseChain, type Chain} from '../../../src/log/record.js';
import {withoutSuperseded} from '../../../src/log/recovery.js';
import {SEGMENT_HEADER_BYTES} from '../../../src/log/segment.js';
import {LogSource} from '../../../src/replica/log-source.js';
import {openSourceImage} from '../../../src/replica/source-image.js';
import {serveSync, type SourceProgress} from '../../../src/replica/sync-source.js';
import {duplexPair} from '../../helpers/duplex-pair.js';
import {blocksOf, epochOf, LogBuilder} from '../../log/log-builder.js';
import {writeNode} from '../fake-node.js';
import {repairLife} from './repair-life.js';
import {roleContext} from './role-context.js';
import {file as resourceFile} from './samples.js';

export const SIZE_BYTES = 2 ** 20;
const BLOCKS = SIZE_BYTES / BLOCK_BYTES;
export const NAME = 'web01';
const MEMORY = '/dev/shm';
const RESOURCE_ID = 'b'.repeat(32);
const FILE_BYTES = SEGMENT_HEADER_BYTES + 64 * 1024;
const STEPS_MAX = 1000;

/** What both had when the one went on from the other. */
export interface CommonLog {
  readonly position: number;
  readonly chain: Chain;
}

/** One node, and what its disk holds. */
export class ForkNode {
  readonly name: string;
  readonly home: string;
  readonly context: Context;
  readonly resource: Resource;
  readonly told: string[] = [];
  /** The disk as whoever uses it on this node sees it. */
  model = Buffer.alloc(SIZE_BYTES);
  others: ForkNode[] = [];
  /** Content that the last copy of the image brought; undefined: there was none. */
  copiedBytes: number | undefined;
  /** Blocks that it has written since another node had all of its log. */
  readonly ownBlocks = new Set<number>();
  #builder: LogBuilder | undefined;
  #segment = 0;

  /** @param home of a node that was there before: its daemon starts again */
  constructor(name: string, home?: string) {
    this.name = name;
    // In memory where there is such a place: what is synced here is not judged by power loss.
    this.home =
      home ?? fs.mkdtempSync(join(fs.existsSync(MEMORY) ? MEMORY : tmpdir(), `mars-fork-${name}-`));
    const id = Buffer.from(name.padEnd(16, '-')).toString('hex');
    const file = home === undefined ? this.#prepare(id) : this.#found();
    if (file === undefined) throw new Error(`${name} has lost its resource`);
    this.context = roleContext({
      home: this.home,
      told: this.told,
      roles: {replicas: () => this.others.map((other) => other.asReplica())},
    });
    this.resource = new Resource(this.context, NAME, file);
    if (home === undefined) this.rested(0);
  }

  /** Its segments are smaller than a user may have them. */
  #found(): ResourceFile | undefined {
    return readJsonFile(this.paths.resourceFile, (value) => value as ResourceFile);
  }

  #prepare(id: string): ResourceFile {
    writeNode(this.home, {name: this.name, id});
    const {paths} = this;
    fs.mkdirSync(paths.logDirectory, {recursive: true});
    fs.writeFileSync(paths.image, '');
    fs.truncateSync(paths.image, SIZE_BYTES);
    const file = resourceFile({
      ...{name: NAME, id: RESOURCE_ID, sizeBytes: SIZE_BYTES, imagePath: paths.image},
      ...{device: false, segmentBytes: FILE_BYTES},
    });
    writeJsonFile(paths.resourceFile, file);
    return file;
  }

  dispose(): void {
    this.#builder = undefined;
    fs.rmSync(this.home, {recursive: true, force: true});
  }

  get paths(): ReturnType<typeof resourcePaths> {
    return resourcePaths(this.home, NAME);
  }

  get lineage(): LineageEntry[] {
    return readLineage(createNodeFiles(), this.paths.lineageFile);
  }

  get segments() {
    const {segments} = readLogDirectory(createNodeFiles(), this.paths.logDirectory, RESOURCE_ID);
    return withoutSuperseded(segments).effective;
  }

  /** Where its log ends. */
  get position(): number {
    if (this.#builder !== undefined) return this.#builder.writer.position;
    return Number.parseInt(standingOf(this.context, this.resource, undefined).position, 16);
  }

  image(): Buffer {
    return fs.readFileSync(this.paths.image);
  }

  /** Becomes primary: an epoch begins where its log ends. */
  begin(epoch: number, {position, chain}: CommonLog): void {
    const files = createNodeFiles();
    const originId = this.context.node.id;
    const plan = {
      ...{directory: this.paths.logDirectory, resourceId: RESOURCE_ID, originId},
      ...{originName: this.name, fileBytes: FILE_BYTES},
    };
    const entry: LineageEntry = {
      ...{epoch: epochOf(epoch), node: originId, nodeName: this.name},
      ...{start: formatPosition(position), chain: formatChain(chain)},
    };
    writeJsonFile(this.paths.lineageFile, {schema: 1, entries: [...this.lineage, entry]});
    this.#segment = Math.max(this.#segment, ...this.segments.map(({header}) => header.number));
    this.#builder?.close();
    this.#builder = new LogBuilder({files, plan, position, chain});
    this.#segment += 1;
    this.#builder.beginEpoch(epoch, this.#segment);
  }

  rotate(): void {
    this.#segment += 1;
    this.#built().beginSegment(this.#segment);
  }

  /** Writes blocks that nobody else has. */
  write(...stamps: number[]): void {
    for (const stamp of stamps) {
      const block = (stamp * 37) % BLOCKS;
      this.#built().write(block, stamp);
      this.ownBlocks.add(block);
      blocksOf(stamp).copy(this.model, block * BLOCK_BYTES);
      // Each record proves the one before: what is damaged is no torn tail.
      this.#built().flush();
    }

    this.sayDurable();
  }

  /** As its disk process says behind each flush. */
  sayDurable(): void {
    const bytes = Buffer.alloc(DURABLE_FILE_BYTES);
    const {epoch, durable} = this.#built();
    encodeDurableWord(bytes, {epoch, position: durable});
    fs.writeFileSync(this.paths.durableFile, bytes);
  }

  get common(): CommonLog {
    const {position, chain} = this.#built().writer;
    return {position, chain: {...chain}};
  }

  #built(): LogBuilder {
    if (this.#builder === undefined) throw new Error(`${this.name} was never primary`);
    return this.#builder;
  }

  /** Takes the log of `source` as it is now, as a replica that has received all of it. */
  receive(source: ForkNode): void {
    for (const {path, name} of source.segments) {
      fs.copyFileSync(path, join(this.paths.logDirectory, name));
    }

    fs.copyFileSync(source.paths.lineageFile, this.paths.lineageFile);
    this.model = Buffer.from(source.model);
    source.ownBlocks.clear();
  }

  /** Replays up to a position, and notes that. */
  async replay(to: number): Promise<void> {
    const {segments, paths} = this;
    if (to > 0) {
      await replayOnto({segments, image: paths.image, sizeBytes: SIZE_BYTES, from: 0, to});
    }

    this.rested(to);
  }

  /** @param from lower than `at` where a batch broke off at its end */
  rested(at: number, from = at): void {
    const files = createNodeFiles();
    const {image, directory, replayFile} = this.paths;
    const fd = files.open(image, 'read');
    const identity = files.identify(fd);
    files.close(fd);
    const state = {schema: 1, from, to: at, image: identity} as const;
    replaceReplayState(files, directory, replayFile, state);
  }

  /**
   * Damages the first record behind a position.
   *
   * @param offset in the record; below 128 its header is gone
   */
  damage(position: number, offset = 200): void {
    const segment = this.segments.findLast(({header}) => header.start <= position);
    assert.ok(segment, 'there is a segment');
    const at = SEGMENT_HEADER_BYTES + position - segment.header.start + offset;
    const fd = fs.openSync(segment.path, 'r+');
    const byte = Buffer.alloc(1);
    fs.readSync(fd, byte, 0, 1, at);
    fs.writeSync(fd, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, at);
    fs.closeSync(fd);
  }

  asReplica(): KnownReplica {
    const facts = {
      role: 'secondary',
      designatedRole: 'secondary',
      state: 'Forked',
      lineage: this.lineage,
      position: formatPosition(this.position),
      epoch: this.lineage.at(-1)?.epoch ?? null,
      granted: null,
      forked: null,
    } as unknown as ResourceFacts;
    const heardAt = '2026-11-22T10:00:00.000Z';
    return {nodeId: this.context.node.id, name: this.name, linkUp: true, heardAt, facts};
  }

  isForkedFrom(other: ForkNode): boolean {
    const own = standingOf(this.context, this.resource, undefined);
    return partingPoint(own, other.asReplica()) !== undefined;
  }

  /** Nothing more is written here; what is read back may be damaged. */
  stopWriting(): void {
    this.#builder?.close();
    this.#builder = undefined;
  }

  /**
   * `mars fork resolve --keep`.
   *
   * @param between happens after the branch is kept, and before the repair begins
   */
  async giveWayTo(
    winner: ForkNode,
    image: boolean,
    between: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const replica = {
      resource: this.resource,
      state: 'Forked' as const,
      copyAgain: async (reason: DiskError) => {
        await between();
        return copyAgain(this.context, this.resource, [winner.asReplica()], reason);
      },
    };
    this.stopWriting();
    const request = {keep: winner.name, dryRun: false, confirmed: true, image};
    await resolveFork(this.context, replica, request);
  }

  /** Copies the image where that is wanted, then fetches and replays all that `source` has. */
  async follow(source: ForkNode): Promise<void> {
    if (readNextState(createNodeFiles(), this.home, NAME) !== undefined)
      await repairLife(this, source);
    const sync = readSyncState(createNodeFiles(), this.home, NAME);
    if (sync !== undefined && sync.state !== 'done') await this.#copy(source);
    await this.#fetch(source);
  }

  async #copy(source: ForkNode): Promise<void> {
    const pair = duplexPair();
    const [, progress] = await Promise.all([
      runSyncTarget({
        files: createNodeFiles(),
        clock: systemClock,
        config: readDiskConfig(this.home, NAME),
        stream: pair.right,
        persistMs: 0,
        onBegin: () => {
          forgetLog(createNodeFiles(), readDiskConfig(this.home, NAME));
        },
      }),
      this.serveCopy(source, pair.left),
    ]);
    this.copiedBytes = progress.dataBytes;
  }

  /** Gives the image of `source`. */
  async serveCopy(source: ForkNode, stream: Duplex): Promise<SourceProgress> {
    const {position, lineage} = source;
    const chainAt = async (at: number): Promise<string | undefined> => {
      const log = new LogSource(source.place);
      try {
        const chain = await log.chainAt(at);
        return chain === undefined ? undefined : formatChain(chain);
      } finally {
        log.close();
      }
    };
    const {from, to} = source.replayed();
    assert.is(to, position, 'the image of the source is whole');
    return serveSync({
      stream,
      resourceId: RESOURCE_ID,
      image: await openSourceImage(source.paths.image),
      positions: () => Promise.resolve({from, to, sizeBytes: SIZE_BYTES, lineage}),
      chainAt,
      pin: () => Promise.resolve(),
    });
  }

  get place() {
    const {logDirectory: directory} = this.paths;
    return {files: createNodeFiles(), directory, resourceId: RESOURCE_ID};
  }

  replayed(): {readonly from: number; readonly to: number} {
    const {file, state} = openReplayState(createNodeFiles(), this.paths.replayFile);
    file.close();
    return state;
  }

  /** All that `source` has goes to a log. */
  async feed(log: FollowLog, source: ForkNode): Promise<void> {
    const reader = new LogSource(source.place);
    try {
      const {lineage, position} = source;
      const end = {appended: position, epoch: source.segments.at(-1)?.header.epoch ?? ''};
      const hello = log.hello(this.context.node.id);
      const answer = await reader.open(hello, {lineage, position, sizeBytes: SIZE_BYTES});
      if (answer.kind === 'cut') {
        const to = Number.parseInt(answer.position ?? '', 16);
        assert.ok(log.cut(to, parseChain(answer.chain ?? '')), 'nobody is in the way of the cut');
      } else assert.is(answer.kind, 'follow', `${this.name} of ${source.name}`);
      log.beginStream(answer.lineage ?? []);
      for (let count = 0; log.position < position || log.currentName === null; count += 1) {
        assert.ok(count < STEPS_MAX, 'the log ends');
        while (log.step());
        const batch = reader.read(end);
        assert.ok(batch, `log behind ${log.position}`);
        if (batch.kind === 'records') log.takeRecords(batch.position, batch.bytes);
        else {
          const frames = new FrameReader();
          frames.push(encodeSegment(batch.position, batch.bytes));
          const frame = frames.next();
          assert.ok(frame, 'a whole frame');
          log.takeSegment(decodeSegment(frame.payload));
        }
      }

      log.noteOriginDurable(position);
    } finally {
      reader.close();
    }
  }

  async #fetch(source: ForkNode): Promise<void> {
    const files = createNodeFiles();
    const config = readDiskConfig(this.home, NAME);
    const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
    const disk = activateFollow({files, config, shared, acceptImage: false});
    disk.stateFile.close();
    const committer = new Committer({
      ...{files, clock: systemClock, shared},
      responder: {answer: () => undefined, answerWrite: () => undefined},
      onFailure: (errno) => {
        throw new Error(`commit failed: ${errno}`);
      },
    });
    let fromChain = disk.fromChain;
    const log = new FollowLog({
      ...{files, config, shared, disk},
      commit: () => {
        assert.is(committer.commit(), 'done');
      },
      onFromChain: (chain) => {
        fromChain = chain;
      },
    });
    await this.feed(log, source);
    assert.is(committer.commit(), 'done');
    const {from, to} = disk.state;
    if (from < source.position) {
      assert.ok(fromChain, 'it is known where replay begins');
      const {file: stateFile} = openReplayState(files, this.paths.replayFile);
      const {imageFd, identity} = disk;
      const host = createReplayHost(files, shared, (error) => {
        if (error !== undefined) throw error;
      });
      const replayer = new Replayer({
        ...{files, clock: systemClock, host, imageFd, identity, stateFile, from, to},
        ...{chain: fromChain, pacing: {quietMs: 0, backlogBytes: 0}},
      });
      for (let count = 0; replayer.position < source.position; count += 1) {
        assert.ok(count < STEPS_MAX, 'replay ends');
        replayer.step();
      }

      stateFile.close();
    }

    for (let at = shared.segmentFirst; at < shared.segmentEnd; at += 1) {
      files.close(shared.segment(at).fd);
    }

    files.close(disk.imageFd);
    // Without a segment nothing else tells where the log begins.
    if (log.currentName !== null) removeSyncState(files, this.home, NAME);
    this.model = Buffer.from(source.model);
  }
}
