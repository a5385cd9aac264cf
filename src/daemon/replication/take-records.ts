/**
 * Takes records of one segment from a peer whose log has them: the follower's side of a log stream,
 * without a disk process, for a log that is to be mended (mend-log.ts).
 */
import type {Duplex} from 'node:stream';
import {DiskError, isDiskError} from '../../core/errors.js';
import {formatPosition} from '../../core/position.js';
import {isErrorCode} from '../../core/codes.js';
import {checkRecords} from '../../disk/follow-check.js';
import type {LogDamage} from '../../log/damage.js';
import type {Frame} from '../../log/frame-reader.js';
import {readFrames, writeFrame} from '../../log/frame-stream.js';
import {
  decodeAnswer,
  decodeEnd,
  decodeMark,
  decodeRecords,
  decodeSegment,
  encodeEnd,
  encodeHello,
  FRAME,
  protocolError,
} from '../../log/frames.js';
import type {LineageEntry} from '../../log/lineage.js';
import {formatChain, isSameChain, type Chain} from '../../log/record.js';

const SILENCE_MS = 5000;

/** Who asks, and for what. */
export interface Asked {
  readonly resourceId: string;
  readonly nodeId: string;
  /** Up to the epoch of the damaged segment, and no further. */
  readonly lineage: readonly LineageEntry[];
  readonly damage: LogDamage;
}

/**
 * Asks for the records of a damage, checks each, and gives them away. In the last segment of a log it
 * takes all that the peer has of it.
 *
 * @param take called with whole good records and the position of the first
 * @returns where the records end that were taken
 * @throws DiskError where the peer has another history, not enough of this one, or breaks off
 */
export async function takeRecords(
  stream: Duplex,
  asked: Asked,
  take: (position: number, records: Buffer) => void,
): Promise<number> {
  const {damage} = asked;
  await writeFrame(stream, helloOf(asked));
  const frames = readFrames(stream, SILENCE_MS);
  const first = await frames.next();
  if (first.done === true) throw new DiskError('PEER_UNREACHABLE', 'the peer ended the stream');
  requireFollow(first.value, damage);
  const at = {position: damage.position, chain: damage.chain};
  for await (const frame of frames) {
    if (isOver(frame, asked, at.position)) break;
    if (frame.type !== FRAME.records) continue;
    const {position, records} = decodeRecords(frame.payload);
    if (position !== at.position) throw protocolError('RECORDS with another position');
    takeGood(records, damage, at, take);
    if (damage.endChain !== undefined && at.position >= damage.end) break;
  }

  requireJoined(damage, at);
  await writeFrame(stream, encodeEnd({code: 'DONE', text: ''}));
  return at.position;
}

function helloOf({resourceId, nodeId, lineage, damage}: Asked): Buffer {
  const position = formatPosition(damage.position);
  return encodeHello({
    ...{version: 1, resourceId, nodeId, epoch: damage.segment.header.epoch},
    ...{position, chain: formatChain(damage.chain), to: position, lineage: [...lineage]},
  });
}

function requireFollow(frame: Frame, {position, chain}: LogDamage): void {
  if (frame.type === FRAME.end) throw endError(frame);
  if (frame.type !== FRAME.answer) throw protocolError('another frame than an ANSWER');
  const answer = decodeAnswer(frame.payload);
  const isSame =
    answer.kind === 'follow' &&
    answer.position === formatPosition(position) &&
    answer.chain === formatChain(chain);
  if (isSame) return;
  const text = answer.text ?? `it answers '${answer.kind}'`;
  throw new DiskError('PEER_REFUSED', `the log from ${formatPosition(position)} on: ${text}`, {
    position: formatPosition(position),
  });
}

/** true where nothing more of the segment will come. @throws DiskError of an END */
function isOver(frame: Frame, {damage}: Asked, position: number): boolean {
  switch (frame.type) {
    case FRAME.end:
      throw endError(frame);
    case FRAME.mark:
      return decodeMark(frame.payload).end <= position;
    case FRAME.segment: {
      const {header} = decodeSegment(frame.payload);
      return header.epoch !== damage.segment.header.epoch;
    }

    default:
      return false;
  }
}

function takeGood(
  records: Buffer,
  {segment, end, endChain}: LogDamage,
  at: {position: number; chain: Chain},
  take: (position: number, records: Buffer) => void,
): void {
  const {epoch, start, capacityBytes} = segment.header;
  const {position, chain} = at;
  // A peer may have in one file what is in two here; nothing of the next one is taken.
  const limit = endChain === undefined ? start + capacityBytes : end;
  checkRecords(records, {position, chain, epoch, end: Infinity}, (_record, behind, after) => {
    if (behind <= limit) [at.position, at.chain] = [behind, {...after}];
  });
  take(position, records.subarray(0, at.position - position));
}

/** @throws DiskError LOG_CORRUPT where what was taken does not reach, or does not fit what follows */
function requireJoined(
  {end, endChain}: LogDamage,
  {position, chain}: {readonly position: number; readonly chain: Chain},
): void {
  const isJoined =
    endChain === undefined ? position >= end : position === end && isSameChain(chain, endChain);
  if (isJoined) return;
  const text =
    position < end
      ? `it has the log up to ${formatPosition(position)} only, and ${formatPosition(end)} is needed`
      : `its log differs at ${formatPosition(end)} from what goes on here`;
  throw new DiskError('LOG_CORRUPT', text, {position: formatPosition(position)});
}

function endError(frame: Frame): DiskError {
  const {code, text} = decodeEnd(frame.payload);
  return new DiskError(isErrorCode(code) ? code : 'PEER_REFUSED', text);
}

/** The words of an error, for a sentence on why a peer could not help. */
export function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isDiskError(error) ? `${error.code}: ${error.message}` : error.message;
}
