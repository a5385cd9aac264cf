/** Serves a log stream: reads the files here, asks the disk process where the log ends. */
import type {DiskStatus} from '../../core/disk-status.js';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition} from '../../core/position.js';
import {LogServer, type LogPositions} from '../../replica/serve-log.js';
import {numberOf} from './replica-state.js';
import {slotPositionOf} from './slots.js';
import type {PeerStream} from './serve.js';
import {sourceStatus} from './source-status.js';

/** Serves one follower until either side ends. */
export async function serveLogStream(options: PeerStream): Promise<void> {
  const {context, replica, caller, socket, bandwidth, compression} = options;
  const {resource} = replica;
  const {file, places} = resource;
  const server = new LogServer({
    stream: socket,
    place: {
      files: createNodeFiles(),
      directory: places.paths.logDirectory,
      resourceId: file.id,
    },
    clock: context.clock,
    log: async ({position, to}) => {
      await pinFor(options, numberOf(position), numberOf(to));
      const status = await sourceStatus(replica);
      return {
        lineage: replica.lineage(),
        position: numberOf(status.position),
        sizeBytes: status.sizeBytes,
      };
    },
    positions: () =>
      replica.synchronous.positions(async () =>
        positionsOf(await sourceStatus(replica), context.clock.wallMs()),
      ),
    onAnswer: ({position}, {kind}) => {
      const fields = {resource: file.name, peer: caller.name, position, kind};
      context.log.info(fields, 'a follower was answered');
    },
    onAck: (ack, epoch) => {
      const {received, durable, from, to} = ack;
      // One whose image has parts of what its log lacks cannot stand in for this node.
      if (epoch !== undefined && received >= to)
        replica.synchronous.confirm(caller.id, caller.name, ack, epoch);
      replica.noteAck(caller.id, {
        received: formatPosition(received),
        durable: formatPosition(durable),
        replayed: formatPosition(from),
      });
    },
    compression,
    takeBandwidth: (bytes, signal) => bandwidth.take(bytes, signal),
  });
  const release = replica.synchronous.add({
    nodeId: caller.id,
    stop: () => {
      server.stop({
        code: 'PEER_REFUSED',
        text: `${file.name} is disconnected there by wish: mars connect ${file.name} on that node`,
      });
    },
    ask: (ask) => {
      server.ask(ask);
    },
  });
  try {
    const end = await server.run();
    const fields = {resource: file.name, peer: caller.name, ...end};
    context.log.info(fields, 'a log stream to a peer has ended');
  } finally {
    release();
  }
}

/**
 * Keeps the log from where the follower's image is: what it has in its log can then be fetched once
 * more. A slot that stands lower already stays.
 */
async function pinFor({replica, caller}: PeerStream, position: number, to: number): Promise<void> {
  const known = replica.slots.all.get(caller.id)?.position ?? Infinity;
  const facts = replica.candidates().find(({nodeId}) => nodeId === caller.id)?.facts;
  const stands = facts === undefined ? null : slotPositionOf(facts.historySeconds, facts);
  const told = stands === null ? Infinity : numberOf(stands);
  const trails = (facts?.historySeconds ?? 0) > 0;
  const asked = trails ? position : Math.min(position, to);
  await replica.pin(caller.id, caller.name, Math.min(known, told, asked));
}

/** Where the log ends, all at one moment. */
function positionsOf(status: DiskStatus, timeMs: number): LogPositions {
  const {epoch, position, durable, replayed, follow, log} = status;
  // What is in an image was durable at the origin before.
  const origin = Math.max(numberOf(follow?.originDurable ?? '0'), numberOf(replayed));
  return {
    appended: numberOf(position),
    // Nobody has this one: then nothing is told, as nothing is known.
    epoch: epoch ?? '',
    currentFile: log.currentFile,
    durable: status.mode === 'follow' ? origin : numberOf(durable),
    timeMs,
  };
}
