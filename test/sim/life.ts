/**
 * One life of a disk process on the simulated disk: the real front, committer, keeper and replay,
 * wired as the process wires them, but each thread a step function that the simulator calls.
 */
import type {Clock} from '../../src/core/clock.js';
import type {Files} from '../../src/core/files.js';
import {resourcePaths} from '../../src/core/home.js';
import {MIB} from '../../src/core/units.js';
import {activate, type ActiveDisk} from '../../src/disk/activation.js';
import {Committer} from '../../src/disk/committer.js';
import type {DiskConfig} from '../../src/disk/config.js';
import {Front} from '../../src/disk/front.js';
import type {FrontNotice} from '../../src/disk/front-options.js';
import {InlineCommit} from '../../src/disk/inline-commit.js';
import {Keeper} from '../../src/disk/keeper.js';
import {createReplayHost} from '../../src/disk/replay-host.js';
import {Shared, SHARED_BYTES, SHARED_BYTES_ALL} from '../../src/disk/shared.js';
import type {Responder} from '../../src/fuse/handler.js';
import {openReplayState} from '../../src/image/replay-state.js';
import {Replayer} from '../../src/image/replay.js';

export interface LifeOptions {
  /** Memory for a rollback, too. */
  readonly reverts?: boolean;
  readonly files: Files;
  readonly clock: Clock;
  readonly config: DiskConfig;
  readonly random: (size: number) => Buffer;
  readonly responder: Responder;
  readonly batchBytes: number;
  /** Replay waits until so long nothing was appended. */
  readonly quietMs?: number;
  readonly note: (text: string) => void;
  /** What slots.json says; default: nobody fetches. */
  readonly retainFrom?: number;
  /** The front commits by itself where nobody else waits, as the process does. */
  readonly inline?: boolean;
}

export interface Life {
  readonly files: Files;
  readonly shared: Shared;
  readonly disk: ActiveDisk;
  readonly front: Front;
  readonly committer: Committer;
  readonly keeper: Keeper;
  readonly replayer: Replayer;
  /** Looks after the room of the log, where somebody does (sim/room). */
  readonly lookForRoom?: () => void;
}

/** Activates the disk: everything that happens before the first request is answered. */
export function beginLife(options: LifeOptions): Life {
  const {files, clock, config, responder, note} = options;
  const bytes = options.reverts === true ? SHARED_BYTES_ALL : SHARED_BYTES;
  const shared = new Shared(new ArrayBuffer(bytes));
  shared.retain(options.retainFrom ?? Infinity);
  const disk = activate({
    files,
    clock,
    config,
    shared,
    random: options.random,
    acceptImage: false,
    serve: true,
  });
  // The replay thread opens the file for itself.
  disk.stateFile.close();
  const {replayFile} = resourcePaths(config.home, config.resource.name);
  const onFailure = (errno: string): void => {
    note(`commit failed: ${errno}`);
  };
  const inline = new InlineCommit(
    new Committer({files, clock, shared, responder, onFailure}),
    clock,
  );
  const front = new Front({
    ...(options.inline === true ? {inline} : {}),
    files,
    clock,
    shared,
    disk,
    responder,
    durableWrites: config.resource.durability === 'write',
    statusJson: () => '{}',
    notify: (notice: FrontNotice) => {
      note(`front: ${JSON.stringify(notice)}`);
    },
  });
  const keeper = new Keeper({
    files,
    clock,
    shared,
    plan: disk.plan,
    retained: disk.retained,
    names: disk.recovered.segments.map(({name, header}) => [header.number, name]),
    onTrouble: (errno) => {
      note(`keeper: ${errno ?? 'well again'}`);
    },
    onReady: () => undefined,
  });
  const replayer = new Replayer({
    files,
    clock,
    host: createReplayHost(files, shared, (error) => {
      note(`replay: ${error?.message ?? 'well again'}`);
    }),
    imageFd: disk.imageFd,
    identity: disk.identity,
    stateFile: openReplayState(files, replayFile).file,
    from: disk.state.from,
    to: disk.state.to,
    chain: disk.fromChain,
    pacing: {
      batchBytes: options.batchBytes,
      backlogBytes: MIB,
      ...(options.quietMs === undefined ? {} : {quietMs: options.quietMs}),
    },
  });
  const committer = new Committer({files, clock, shared, responder, onFailure});
  return {files, shared, disk, front, committer, keeper, replayer};
}
