/**
 * Nodes of which one dies at a crash point: the work is done once, and at each pass the homes of all
 * nodes are kept as they are; then each of these moments is the past of a new start.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import * as assert from 'uvu/assert';
import type {ClusterPort} from '../../../src/daemon/replication/cluster-port.js';
import {FactStore} from '../../../src/cluster/facts.js';
import type {PeerCaller} from '../../../src/cluster/peer-caller.js';
import type {DiskStatus} from '../../../src/core/disk-status.js';
import {systemClock} from '../../../src/core/clock.js';
import {setCrashHandler, type CrashPoint} from '../../../src/core/crash-points.js';
import {createNodeFiles} from '../../../src/core/files.js';
import {formatPosition} from '../../../src/core/position.js';
import {findGrant, readGrant} from '../../../src/daemon/replication/grant.js';
import {listBranches} from '../../../src/daemon/replication/branches.js';
import {Replica} from '../../../src/daemon/replication/replica.js';
import {answerHandover, mayServeAgain} from '../../../src/daemon/replication/roles.js';
import type {KnownReplica} from '../../../src/daemon/replication/role-services.js';
import {Slots} from '../../../src/daemon/replication/slots.js';
import {SyncTurns} from '../../../src/daemon/replication/sync-turns.js';
import {activate} from '../../../src/disk/activation.js';
import {readDiskConfig} from '../../../src/disk/config.js';
import {readNextState} from '../../../src/disk/next-state.js';
import {readSyncState} from '../../../src/disk/sync-state.js';
import {Shared, SHARED_BYTES} from '../../../src/disk/shared.js';
import {readLogEnd} from '../../../src/log/log-end.js';
import {parseChain} from '../../../src/log/record.js';
import {disk, diskFollow} from '../replication/samples.js';
import {ForkNode} from '../replication/fork-rig.js';
import {forgetImages, HomeImage} from './home-image.js';
import {standIn, type StandIn} from './stand-in.js';

export const NAME = 'web01';

/** A moment at which somebody died. */
export interface Crash {
  readonly point: CrashPoint;
  readonly subject: string;
  /** What `note` said then. */
  readonly noted: unknown;
}

/** All points that were passed in this process. */
export const passedPoints = new Set<CrashPoint>();

export class CrashNode extends ForkNode {
  /** It is not heard of by others. */
  isAway = false;

  constructor(name: string, home?: string) {
    super(name, home);
    fs.mkdirSync(join(this.home, 'run/disks'), {recursive: true});
    // Write-back that has nothing to do ends at once.
    const holder = join(this.home, 'holder.sh');
    fs.writeFileSync(holder, 'exit 0\n');
    Object.assign(this.context, {programs: {holder, main: ''}});
    const {roles} = this.context;
    assert.ok(roles);
    this.context.roles = {
      ...roles,
      replicas: () => this.heard,
      call: async (nodeId, path, body) => {
        const other = this.others.find(({context}) => context.node.id === nodeId);
        assert.ok(other instanceof CrashNode && !other.isAway, 'who is called is there');
        if (path === 'facts') return {};
        const caller = {id: this.context.node.id, name: this.name};
        const signal = new AbortController().signal;
        return answerHandover(other.context, other.resource, caller, body, signal);
      },
    };
  }

  get heard(): KnownReplica[] {
    return this.others
      .filter((other) => !(other instanceof CrashNode && other.isAway))
      .map((other) => other.asReplica());
  }

  override asReplica(): KnownReplica {
    const replica = super.asReplica();
    const {designatedRole} = this.resource.file;
    const grant = findGrant(this.paths.grantFile);
    const granted = grant === undefined ? null : {...grant, known: [...(grant.known ?? [])]};
    const facts = {...replica.facts, role: designatedRole, designatedRole, granted};
    return {...replica, facts};
  }

  /** Everything that a start reads can be read. */
  assertReadable(): void {
    const {paths} = this;
    assert.ok(this.resource.file.id);
    readGrant(paths.grantFile);
    readSyncState(createNodeFiles(), this.home, NAME);
    assert.ok(new Slots(paths.slotsFile, systemClock).all);
    listBranches(paths);
    assert.ok(this.lineage.length > 0, 'the lineage is there');
    const {from, to} = this.replayed();
    assert.ok(from <= to);
  }

  /** What was fetched beside its image is put in place. */
  get isSwitching(): boolean {
    return readNextState(createNodeFiles(), this.home, NAME)?.state === 'switching';
  }

  /** What it has counts as garbage until it is copied. */
  get isCopied(): boolean {
    return readSyncState(createNodeFiles(), this.home, NAME) !== undefined;
  }

  /** What its disk process says while it follows. */
  followStatus(): DiskStatus {
    const position = formatPosition(this.position);
    const sample = disk();
    const files = createNodeFiles();
    const end = readLogEnd(files, this.paths.logDirectory, this.resource.file.id);
    return {
      ...sample,
      ...{name: NAME, position, durable: position, replayed: position, replayingTo: position},
      epoch: end?.epoch ?? '0'.repeat(32),
      chain: end?.chain ?? '0'.repeat(16),
      sizeBytes: this.resource.file.sizeBytes,
      follow: {...diskFollow(), received: position, originEnd: position},
    };
  }

  /** Its disk process follows, as far as the daemon can see. */
  following(onCall?: (path: string, body: unknown) => void): Promise<StandIn> {
    return standIn(this.paths.socket, () => this.followStatus(), onCall);
  }

  /** Becomes primary as its disk process does it: recovery, and an epoch that begins. */
  activate(): void {
    const files = createNodeFiles();
    const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
    const {stateFile, imageFd} = activate({
      ...{files, clock: systemClock, shared, acceptImage: false, serve: true},
      config: readDiskConfig(this.home, NAME),
    });
    stateFile.close();
    files.close(imageFd);
    for (let at = shared.segmentFirst; at < shared.segmentEnd; at += 1) {
      files.close(shared.segment(at).fd);
    }
  }

  /** A start as primary, and writes that nobody else has. */
  goOn(epoch: number, ...stamps: number[]): void {
    this.activate();
    const end = readLogEnd(createNodeFiles(), this.paths.logDirectory, this.resource.file.id);
    assert.ok(end, 'the log has an end');
    const chain = parseChain(end.chain);
    assert.ok(chain);
    this.begin(epoch, {position: end.position, chain});
    this.write(...stamps);
  }

  /** true where its daemon would start it as primary now. */
  async mayServe(): Promise<boolean> {
    if (this.resource.file.designatedRole !== 'primary') return false;
    return mayServeAgain(this.context, this.resource, 0);
  }

  /** The daemon's part of its replication. */
  replica(): Replica {
    const selfId = this.context.node.id;
    const cluster: ClusterPort = {
      selfId,
      members: () => [],
      isRemoved: () => false,
      facts: new FactStore(selfId),
      caller: {} as PeerCaller,
      touch: () => undefined,
    };
    const turns = new SyncTurns(
      () => 1,
      () => '',
      () => undefined,
    );
    return new Replica(this.context, cluster, this.resource, turns, () => false);
  }
}

/** Nodes that know each other. */
export function meet(...nodes: CrashNode[]): void {
  for (const node of nodes) node.others = nodes.filter((other) => other !== node);
}

export interface SweepOptions {
  readonly nodes: readonly CrashNode[];
  /** Done once without a death, while every moment is kept. */
  /** What the checks have to know of the moment. */
  readonly note?: () => unknown;
  readonly work: (nodes: readonly CrashNode[]) => void | Promise<void>;
  /** The nodes started again after a death; may be asked several times for the same moment. */
  readonly checks: readonly ((nodes: readonly CrashNode[], crash: Crash) => void | Promise<void>)[];
}

/** @returns how many moments there were that differ */
export async function sweep({nodes, work, checks, note}: SweepOptions): Promise<number> {
  const moments: {readonly crash: Crash; readonly homes: readonly HomeImage[]}[] = [];
  let last = '';
  setCrashHandler((point, subject) => {
    passedPoints.add(point);
    const homes = nodes.map(({home}) => new HomeImage(home));
    const fingerprint = homes.map((home) => home.fingerprint).join('\n');
    if (fingerprint !== last) moments.push({crash: {point, subject, noted: note?.()}, homes});
    last = fingerprint;
  });
  try {
    await work(nodes);
  } finally {
    setCrashHandler(undefined);
  }

  try {
    for (const [index, {crash, homes}] of moments.entries()) {
      for (const check of checks) {
        for (const home of homes) home.restore();
        try {
          const started = nodes.map((node) => startAgain(node));
          meet(...started);
          for (const node of started) node.assertReadable();
          await check(started, crash);
        } catch (error) {
          const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
          const where = `${crash.point}@${crash.subject}, pass ${index + 1} of ${moments.length}`;
          throw new Error(`a death at ${where}: ${why}`, {cause: error});
        }
      }
    }
  } finally {
    for (const node of nodes) {
      node.dispose();
      forgetImages(node.home);
    }
  }

  return moments.length;
}

function startAgain(node: CrashNode): CrashNode {
  const started = new CrashNode(node.name, node.home);
  started.model = Buffer.from(node.model);
  return started;
}
