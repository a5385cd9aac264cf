/**
 * The serving side: other members' streams and questions about the resources of this node. Log and
 * image files are read here, read-only and beside the disk process; where the log ends, and what is
 * in the image, only the disk process says.
 *
 * Before a stream begins, the log that its replica needs is pinned: slots.json first, then the disk
 * process (retention.ts).
 */
import type {Duplex} from 'node:stream';
import type {ResourceFacts} from '../../cluster/facts.js';
import type {Member} from '../../cluster/members.js';
import type {PeerRoutes, StreamHandler, StreamProtocol} from '../../cluster/peer-routes.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition} from '../../core/position.js';
import {packingWishOf, type PackingWish} from '../../core/packing-names.js';
import {formatChain} from '../../log/record.js';
import {Bandwidth} from '../../replica/bandwidth.js';
import {LogSource} from '../../replica/log-source.js';
import {openSourceImage} from '../../replica/source-image.js';
import {
  serveSync,
  type SourceProgress,
  type SyncPositions,
  type SyncSourceOptions,
} from '../../replica/sync-source.js';
import type {Context} from '../context.js';
import {refuseSharing, refuseWhileBypassed} from './bypass-rules.js';
import {answerChanges} from './fork-diff.js';
import type {MarsNode} from '../node.js';
import {answerJoin, answerPrimary} from './move.js';
import {describeEnd, type PeerEnd} from './peer-end.js';
import {numberOf} from './replica-state.js';
import type {Replica} from './replica.js';
import type {Replication} from './replication.js';
import {answerHandover} from './roles.js';
import {serveLogStream} from './serve-log-stream.js';
import {sourceStatus} from './source-status.js';
import {answerVerify} from './verify.js';

/** A stream that a member has opened. */
export interface PeerStream {
  readonly context: Context;
  readonly replica: Replica;
  readonly caller: Member;
  readonly socket: Duplex;
  readonly bandwidth: Bandwidth;
  /** What is wished for this member now. */
  readonly compression: () => PackingWish;
}

/** Members ask and follow; this answers. */
export class PeerService implements PeerRoutes {
  readonly #context: Context;
  readonly #node: MarsNode;
  readonly #replication: Replication;
  readonly #bandwidths = new Map<string, Bandwidth>();

  constructor(node: MarsNode, replication: Replication) {
    this.#context = node.context;
    this.#node = node;
    this.#replication = replication;
  }

  async call(
    caller: Member,
    method: string,
    words: readonly string[],
    body: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    const [id = '', ...verb] = words;
    const route = `${method} ${verb.join('/')}`.trim();
    if (route === 'POST leave') {
      this.#replication.byId(id)?.forget(caller.id);
      return {};
    }

    if (route === 'POST join') return answerJoin(this.#node, caller, id, body);
    const replica = this.#replica(id);
    switch (route) {
      case 'POST digests':
        refuseDisconnected(replica);
        refuseWhileBypassed(replica.resource);
        return replica.verify.digests.answer(caller.id, body);
      case 'POST verify':
        refuseDisconnected(replica);
        refuseWhileBypassed(replica.resource);
        return answerVerify(this.#context, replica, caller, 'start', body);
      case 'POST verify/state':
        return answerVerify(this.#context, replica, caller, 'state', body);
      case 'POST verify/stop':
        return answerVerify(this.#context, replica, caller, 'stop', body);
      case 'POST primary':
        return answerPrimary(this.#node, caller, replica.resource, body);
      case 'GET':
        return describe(replica);
      case 'POST end':
        refuseDisconnected(replica);
        return answerEnd(replica);
      case 'POST changes':
        refuseWhileBypassed(replica.resource);
        return answerChanges(replica.resource, body);
      case 'POST handover':
        refuseWhileBypassed(replica.resource);
        return answerHandover(this.#context, replica.resource, caller, body, signal);
      default:
        throw new DiskError('USAGE', `peers are not answered ${method} ${words.join('/')}`);
    }
  }

  async open(
    caller: Member,
    protocol: StreamProtocol,
    words: readonly string[],
  ): Promise<StreamHandler> {
    const [id = '', flow] = words;
    const replica = this.#replica(id);
    if (flow !== (protocol === 'mars-log/1' ? 'log' : 'sync')) {
      throw new DiskError('USAGE', `there is no stream ${words.join('/')}`);
    }

    refuseDisconnected(replica);
    refuseSharing(replica.resource);
    // An answer now is better than a stream that ends at once.
    await sourceStatus(replica);
    const serve = protocol === 'mars-log/1' ? serveLogStream : serveSyncStream;
    return (socket) => {
      const bandwidth = this.#bandwidth(caller);
      const compression = (): PackingWish => packingWishOf(this.#member(caller.id)?.compression);
      const stream = {context: this.#context, replica, caller, socket, bandwidth, compression};
      serve(stream).catch((error: unknown) => {
        this.#noteEnd(replica, caller, protocol, error);
      });
    };
  }

  /** Limits of members may have changed: those who wait in a line are told. */
  changed(): void {
    for (const [id, bandwidth] of this.#bandwidths) {
      bandwidth.setLimit(this.#member(id)?.bandwidthLimit ?? null);
    }
  }

  #member(id: string): Member | undefined {
    return this.#replication.cluster.members().find((member) => member.id === id);
  }

  /** One for all streams to a member together. */
  #bandwidth({id, bandwidthLimit}: Member): Bandwidth {
    const limit = bandwidthLimit ?? null;
    const known = this.#bandwidths.get(id);
    known?.setLimit(limit);
    const bandwidth = known ?? new Bandwidth(this.#context.clock, limit);
    this.#bandwidths.set(id, bandwidth);
    return bandwidth;
  }

  #replica(id: string): Replica {
    const replica = this.#replication.byId(id);
    if (replica !== undefined) return replica;
    throw new DiskError('RESOURCE_UNKNOWN', 'this node has no replica of that resource', {id});
  }

  #noteEnd(replica: Replica, caller: Member, protocol: StreamProtocol, error: unknown): void {
    const fields = {resource: replica.resource.name, peer: caller.name, protocol, err: error};
    if (isDiskError(error)) this.#context.log.info(fields, 'a stream to a peer has ended');
    else this.#context.log.error(fields, 'a stream to a peer failed');
  }
}

/** @throws DiskError PEER_REFUSED */
function refuseDisconnected({resource}: Replica): void {
  if (resource.file.connected !== false) return;
  const text = `${resource.name} is disconnected there by wish: mars connect ${resource.name} on that node`;
  throw new DiskError('PEER_REFUSED', text, {resource: resource.name});
}

function describe(replica: Replica): ResourceFacts {
  const facts = replica.facts();
  if (facts !== undefined) return facts;
  throw new DiskError('RESOURCE_UNKNOWN', 'its files cannot be read here', {});
}

async function answerEnd(replica: Replica): Promise<PeerEnd> {
  const {file, places} = replica.resource;
  const directory = places.paths.logDirectory;
  const log = {files: createNodeFiles(), directory, resourceId: file.id};
  // Never one that was asked before: the log may have grown since.
  return describeEnd(log, await sourceStatus(replica, -1), replica.lineage());
}

/** Positions of an image that may be copied. @throws DiskError SOURCE_BEHIND: it is a mixture */
async function syncPositions(replica: Replica): Promise<SyncPositions> {
  // Never one that was asked before: replay may have gone on before the chunk was read.
  const status = await sourceStatus(replica, -1);
  const phase = status.follow?.phase;
  const isMade = status.follow?.next != null;
  if (isMade || phase === 'empty' || phase === 'syncing' || replica.state === 'InConsistent') {
    const text = `the image of ${replica.resource.name} is being copied here itself`;
    throw new DiskError('SOURCE_BEHIND', text, {resource: replica.resource.name});
  }

  return {
    from: numberOf(status.replayed),
    to: Math.max(numberOf(status.replayingTo), numberOf(status.replayed)),
    sizeBytes: status.sizeBytes,
    lineage: replica.lineage(),
  };
}

async function serveSyncStream(options: PeerStream): Promise<void> {
  const {context, replica, caller, socket, bandwidth, compression} = options;
  const {file} = replica.resource;
  context.log.info({resource: file.name, peer: caller.name}, 'a peer copies the image');
  const take = (bytes: number): Promise<void> => bandwidth.take(bytes);
  const progress = await serveImage(replica, socket, caller, {
    compression,
    takeBandwidth: take,
  });
  const text = `${file.name} was copied to ${caller.name}, log from ${formatPosition(progress.begin)} on`;
  context.log.info({resource: file.name, peer: caller.name, ...progress}, text);
}

/**
 * Serves a copy of the image of a replica over a stream.
 *
 * @param slot for whom the log from the begin of the copy on is kept
 * @throws DiskError as serveSync
 */
export async function serveImage(
  replica: Replica,
  socket: Duplex,
  slot: {readonly id: string; readonly name: string},
  sending: Pick<SyncSourceOptions, 'compression' | 'takeBandwidth'> = {},
): Promise<SourceProgress> {
  // Until serveSync listens: an error without a listener would end the daemon.
  socket.on('error', () => undefined);
  const {file, places} = replica.resource;
  const log = {
    files: createNodeFiles(),
    directory: places.paths.logDirectory,
    resourceId: file.id,
  };
  const image = await openSourceImage(file.imagePath).catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
  return serveSync({
    stream: socket,
    resourceId: file.id,
    image,
    positions: () => syncPositions(replica),
    chainAt: async (position) => {
      const source = new LogSource(log);
      try {
        const chain = await source.chainAt(position);
        if (chain !== undefined) return formatChain(chain);
        return await chainAtEnd(replica, position);
      } finally {
        source.close();
      }
    },
    pin: (position) => replica.pin(slot.id, slot.name, position),
    ...sending,
  });
}

/** A log without any file yet has the chain value that its disk process says. */
async function chainAtEnd(replica: Replica, position: number): Promise<string | undefined> {
  const status = await sourceStatus(replica);
  return numberOf(status.position) === position ? status.chain : undefined;
}
