/**
 * Where the log of another node ends, with the chain value there: `POST resources/ID/end`. Facts of a
 * primary have no chain value, as its disk process computes it in the thread that answers writes; here the
 * log is read for it, and only where it has come to rest: all of it is in the image.
 */
import * as v from 'valibot';
import {check} from '../../core/check.js';
import type {DiskStatus} from '../../core/disk-status.js';
import {DiskError} from '../../core/errors.js';
import {parsePosition} from '../../core/position.js';
import {
  chainSchema,
  idSchema,
  lineageSchema,
  positionSchema,
  type LineageEntry,
} from '../../log/lineage.js';
import {formatChain} from '../../log/record.js';
import {LogSource, type LogPlace} from '../../replica/log-source.js';
import type {Context} from '../context.js';
import type {KnownReplica} from './role-services.js';

/** One logfile is read to its end. */
const ASK_TIMEOUT_MS = 60_000;

const ANSWER = v.looseObject({
  position: positionSchema,
  replayed: positionSchema,
  replayTo: positionSchema,
  /** null where the log has not come to rest. */
  chain: v.nullable(chainSchema),
  epoch: v.nullable(idSchema),
  sizeBytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  lineage: lineageSchema,
});

/** End of a log, and what of it is in the image. */
export type PeerEnd = v.InferOutput<typeof ANSWER>;

/**
 * The answer of the node that is asked.
 *
 * @param status what its disk process says now
 * @throws DiskError STORE_IO, LOG_FORMAT, LOG_CORRUPT
 */
export async function describeEnd(
  log: LogPlace,
  status: DiskStatus,
  lineage: readonly LineageEntry[],
): Promise<PeerEnd> {
  const {position, replayed, replayingTo, epoch, sizeBytes} = status;
  const rests = replayed === position && replayingTo === position;
  const chain = rests ? (status.chain ?? (await chainAt(log, position))) : null;
  return {
    ...{position, replayed, replayTo: replayingTo, chain, epoch, sizeBytes},
    lineage: [...lineage],
  };
}

async function chainAt(log: LogPlace, position: string): Promise<string | null> {
  const source = new LogSource(log);
  try {
    const chain = await source.chainAt(parsePosition(position) ?? 0);
    return chain === undefined ? null : formatChain(chain);
  } finally {
    source.close();
  }
}

/**
 * Asks another node.
 *
 * @throws DiskError PEER_PROTOCOL, PEER_UNKNOWN, and as PeerCaller.call
 */
export async function askEnd(
  context: Context,
  {nodeId, name}: KnownReplica,
  resourceId: string,
): Promise<PeerEnd> {
  const path = `resources/${resourceId}/end`;
  const answer = await context.roles?.call(nodeId, path, {}, ASK_TIMEOUT_MS);
  try {
    return check(ANSWER, answer);
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    throw new DiskError('PEER_PROTOCOL', `${name} answered what is not valid: ${fault}`);
  }
}
