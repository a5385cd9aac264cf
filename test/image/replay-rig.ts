/** A log, an image and a Replayer over any `Files`, with a model of what the image must become. */
import {join} from 'node:path';
import * as assert from 'uvu/assert';
import type {DiskError} from '../../src/core/errors.js';
import type {FileIdentity, Files} from '../../src/core/files.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {Replayer, type ReplayHost, type ReplayPacing} from '../../src/image/replay.js';
import {openReplayState, type ReplayState} from '../../src/image/replay-state.js';
import {readSegmentFile, readLogDirectory} from '../../src/log/directory.js';
import {RECORD} from '../../src/log/record.js';
import {SEGMENT_HEADER_BYTES} from '../../src/log/segment.js';
import {SimClock} from '../sim/sim-clock.js';
import {blocksOf, LogBuilder, planFor, RESOURCE_ID} from '../log/log-builder.js';
import {recoverLog} from '../../src/log/recovery.js';

export const IMAGE_BYTES = 2 ** 20;

export class ReplayRig {
  readonly files: Files;
  readonly directory: string;
  readonly clock = new SimClock();
  readonly log: LogBuilder;
  readonly model = Buffer.alloc(IMAGE_BYTES, 0x55);
  readonly states: string[] = [];
  readonly reports: (DiskError | undefined)[] = [];
  readonly published: [number, number][] = [];
  durable = 0;
  paused = false;
  forced = false;
  #number = 0;
  #stamp = 0;

  constructor(files: Files, directory: string, segmentBytes = 256 * 1024) {
    this.files = files;
    this.directory = directory;
    files.makeDirectory(join(directory, 'log'));
    const fd = files.open(this.imagePath, 'exclusive');
    // Old content everywhere: zeros that are missing show.
    files.write(fd, this.model, 0, IMAGE_BYTES, 0);
    files.sync(fd);
    const state: ReplayState = {schema: 1, from: 0, to: 0, image: files.identify(fd)};
    files.close(fd);
    TwoSlotFile.create(files, this.statePath, state).close();
    files.syncDirectory(directory);
    const plan = planFor(SEGMENT_HEADER_BYTES + segmentBytes, join(directory, 'log'));
    this.log = new LogBuilder({files, plan});
    this.segment();
  }

  get imagePath(): string {
    return join(this.directory, 'image');
  }

  get statePath(): string {
    return join(this.directory, 'replay');
  }

  segment(): void {
    this.#number += 1;
    this.log.beginSegment(this.#number);
  }

  write(block: number, count = 1): void {
    this.#stamp += 1;
    this.log.write(block, this.#stamp, count);
    blocksOf(this.#stamp, count).copy(this.model, block * 4096);
  }

  zero(block: number, count: number, type: number = RECORD.discard): void {
    this.log.plain(type, block, count);
    this.model.fill(0, block * 4096, (block + count) * 4096);
  }

  /** Everything that was appended is durable. */
  flush(): void {
    const directory = join(this.directory, 'log');
    for (const name of this.files.list(directory)) {
      const fd = this.files.open(join(directory, name), 'read');
      this.files.sync(fd);
      this.files.close(fd);
    }

    this.log.flush();
    this.files.syncDirectory(directory);
    this.durable = this.log.writer.position;
  }

  /** A replayer as a new process makes it: positions from the state file, the log recovered. */
  open(pacing: Partial<ReplayPacing> = {quietMs: 0, retryMs: 0}): Replayer {
    const {files} = this;
    const {file, state} = openReplayState(files, this.statePath);
    const recovered = recoverLog({
      files,
      directory: join(this.directory, 'log'),
      resourceId: RESOURCE_ID,
      from: state.from,
      to: state.to,
      diskSizeBytes: IMAGE_BYTES,
      onSegment: () => undefined,
      onIndex: () => undefined,
      onRecord: () => undefined,
    });
    assert.ok(recovered.position >= this.durable, 'the log is there');
    return new Replayer({
      files,
      clock: this.clock,
      host: this.#host(),
      imageFd: files.open(this.imagePath, 'write'),
      identity: state.image,
      stateFile: file,
      from: state.from,
      to: state.to,
      chain: recovered.fromChain,
      pacing,
    });
  }

  state(): {from: number; to: number; image: FileIdentity} {
    return TwoSlotFile.peek(this.files, this.statePath) as ReplayState;
  }

  image(): Buffer {
    const fd = this.files.open(this.imagePath, 'read');
    const bytes = Buffer.alloc(this.files.sizeOf(fd));
    this.files.read(fd, bytes, 0, bytes.length, 0);
    this.files.close(fd);
    return bytes;
  }

  assertImage(message = ''): void {
    assert.ok(this.image().subarray(0, IMAGE_BYTES).equals(this.model), `image ${message}`);
  }

  #host(): ReplayHost {
    const {files} = this;
    return {
      durable: () => this.durable,
      appended: () => this.log.writer.position,
      segments: (from, to) => {
        const {segments} = readLogDirectory(files, join(this.directory, 'log'), RESOURCE_ID);
        return segments
          .map(({path, header}, at) => ({
            fd: files.open(path, 'read'),
            start: header.start,
            end: segments[at + 1]?.header.start ?? Infinity,
          }))
          .filter(({start, end}) => end > from && start < to);
      },
      readHeader: ({start}) => {
        const {segments} = readLogDirectory(files, join(this.directory, 'log'), RESOURCE_ID);
        const found = segments.find(({header}) => header.start === start);
        assert.ok(found);
        const file = readSegmentFile(files, found.path, found.name);
        assert.ok(file);
        return file.header;
      },
      isPaused: () => this.paused,
      isForced: () => this.forced,
      publish: (from, to) => {
        this.published.push([from, to]);
      },
      setState: (state) => {
        this.states.push(state);
      },
      report: (error) => {
        this.reports.push(error);
      },
    };
  }
}
