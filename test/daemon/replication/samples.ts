/** Facts, states and files of replicas as the tests of replication want them. */
import type {ResourceFacts} from '../../../src/cluster/facts.js';
import type {DiskFollow, DiskStatus} from '../../../src/core/disk-status.js';
import type {ResourceFile} from '../../../src/core/home.js';
import {formatPosition} from '../../../src/core/position.js';
import type {Candidate} from '../../../src/daemon/replication/choose-source.js';
import type {LineageEntry} from '../../../src/log/lineage.js';

export const idOf = (letter: string): string => letter.repeat(32);

export function entry(epoch: string, start: number, node = 'a'): LineageEntry {
  return {
    epoch: idOf(epoch),
    node: idOf(node),
    nodeName: `node-${node}`,
    start: formatPosition(start),
    chain: '0'.repeat(16),
  };
}

export function facts(change: Partial<ResourceFacts> = {}): ResourceFacts {
  return {
    id: idOf('1'),
    name: 'web',
    sizeBytes: 1 << 20,
    createdAt: '2026-01-01T00:00:00.000Z',
    segmentBytes: 4 << 20,
    alignmentBytes: 8,
    mode: 'async',
    role: 'secondary',
    designatedRole: 'secondary',
    attached: true,
    state: 'UpToDate',
    epoch: idOf('e'),
    position: formatPosition(1000),
    chain: '0'.repeat(16),
    durable: formatPosition(1000),
    replayed: formatPosition(1000),
    replayTo: formatPosition(1000),
    lineage: [entry('e', 0)],
    openCount: null,
    granted: null,
    forked: null,
    sync: null,
    fetchPaused: false,
    replayPaused: false,
    messages: [],
    logBytes: 0,
    ...change,
  };
}

export function candidate(
  name: string,
  change: Partial<ResourceFacts> = {},
  linkUp = true,
): Candidate {
  return {nodeId: idOf(name[0] ?? 'x'), name, linkUp, facts: facts(change)};
}

export function file(change: Partial<ResourceFile> = {}): ResourceFile {
  return {
    schema: 1,
    name: 'web',
    id: idOf('1'),
    sizeBytes: 1 << 20,
    createdAt: '2026-01-01T00:00:00.000Z',
    imagePath: '/nowhere/image',
    imageOwned: true,
    designatedRole: 'secondary',
    attached: true,
    replayPaused: false,
    device: true,
    driver: 'auto',
    segmentBytes: 4 << 20,
    alignmentBytes: 8,
    durability: 'flush',
    ...change,
  };
}

export function diskFollow(change: Partial<DiskFollow> = {}): DiskFollow {
  return {
    phase: 'following',
    connected: true,
    received: formatPosition(1000),
    originDurable: formatPosition(1000),
    originEnd: formatPosition(1000),
    originTimeMs: null,
    lagSeconds: 0,
    answer: {kind: 'follow'},
    sync: null,
    ...change,
  };
}

export function disk(
  change: Partial<DiskStatus> = {},
  follow: Partial<DiskFollow> = {},
): DiskStatus {
  return {
    schema: 1,
    name: 'web',
    pid: 1,
    holderPid: 2,
    restarts: 0,
    startedAt: '2026-01-01T00:00:00.000Z',
    phase: 'replaying',
    mode: 'follow',
    driver: null,
    sizeBytes: 1 << 20,
    epoch: idOf('e'),
    position: formatPosition(1000),
    durable: formatPosition(1000),
    replayed: formatPosition(1000),
    replayingTo: formatPosition(1000),
    replay: {state: 'idle', backlogBytes: 0, since: '2026-01-01T00:00:00.000Z'},
    retainFrom: null,
    log: {
      files: 1,
      spares: 1,
      bytes: 4 << 20,
      firstPosition: formatPosition(0),
      segmentBytes: 4 << 20,
      currentFile: null,
    },
    waiting: null,
    messages: [],
    counters: {
      reads: 0,
      readBytes: 0,
      writes: 0,
      writtenBytes: 0,
      flushes: 0,
      discards: 0,
      commits: 0,
      batches: 0,
      replayedBytes: 0,
      resentRequests: 0,
      gatheredWrites: 0,
    },
    follow: diskFollow(follow),
    ...change,
  };
}
