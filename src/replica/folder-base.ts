/**
 * A base image in a folder, as the source of a copy: written by the side that exports, read by the
 * side that follows. Three files, the document last: `.img` (sparse), `.sha256` (32 bytes for each
 * chunk of 1 MiB, zeros for a chunk of zeros) and `.json` with the positions. Every chunk is
 * compared with its digest before it is given, as the files came by ways that promise nothing.
 */
import {createHash} from 'node:crypto';
import fs from 'node:fs';
import {join} from 'node:path';
import type {Duplex} from 'node:stream';
import {digestOf} from '../core/digest.js';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import {HOME_SCHEMA} from '../core/home.js';
import {writeJsonFile} from '../core/json-file.js';
import {formatPosition, parsePosition} from '../core/position.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';
import type {Frame} from '../log/frame-reader.js';
import {readFrames, writeFrame} from '../log/frame-stream.js';
import {
  decodeEnd,
  decodeSyncBegin,
  decodeSyncData,
  decodeSyncEnd,
  DIGEST_BYTES,
  encodeChunkRange,
  encodeSyncHello,
  FRAME,
  protocolError,
  type SyncBegin,
  type SyncEnd,
} from '../log/frames.js';
import {isErrorCode} from '../core/codes.js';
import {baseNames, beginOfName, readBaseFile, type BaseFile} from './folder-file.js';
import {openSourceImage, type SourceImage} from './source-image.js';
import {serveSync, type SyncPositions} from './sync-source.js';

const SILENCE_MS = 60_000;
/** Written, and not synced yet. */
const SYNC_EVERY_BYTES = 256 * 1024 * 1024;
const ZERO_DIGEST = Buffer.alloc(DIGEST_BYTES);

/** Names of the bases of a folder, newest first. */
export function listBases(folder: string): string[] {
  return fs
    .readdirSync(folder)
    .filter((name) => beginOfName(name) !== undefined)
    .sort()
    .reverse();
}

/**
 * Serves a copy from the newest base of a folder. Ends the stream itself.
 *
 * @throws DiskError FOLDER_EMPTY where there is no base (yet), FOLDER_DAMAGED, FOLDER_FOREIGN,
 *   STATE_UNREADABLE, STORE_IO, PEER_*
 */
export async function serveBase(stream: Duplex, folder: string, resourceId: string): Promise<void> {
  const {base, image} = await openBase(folder, resourceId);
  const begin = parsePosition(base.begin) ?? 0;
  const end = parsePosition(base.end) ?? 0;
  const positions: SyncPositions = {
    from: begin,
    to: end,
    sizeBytes: base.sizeBytes,
    lineage: base.lineage,
  };
  const chains = new Map([[end, base.endChain]]).set(begin, base.chain);
  await serveSync({
    stream,
    resourceId,
    image,
    positions: () => Promise.resolve(positions),
    chainAt: (position) => Promise.resolve(chains.get(position) ?? undefined),
    // Whoever fills the folder keeps its log.
    pin: () => Promise.resolve(),
  });
}

async function openBase(
  folder: string,
  resourceId: string,
): Promise<{base: BaseFile; image: SourceImage}> {
  const [name] = listBases(folder);
  if (name === undefined) {
    const text = `there is no base image in ${folder} yet: mars log export NAME DIR --base makes one`;
    throw new DiskError('FOLDER_EMPTY', text, {folder});
  }

  const base = readBaseFile(folder, name, resourceId);
  const names = baseNames(base.begin);
  const digests = readWhole(join(folder, names.digests));
  if (createHash('sha256').update(digests).digest('hex') !== base.digestsSha256) {
    throw damaged(join(folder, names.digests), 'its SHA-256 is another than that in the .json');
  }

  const path = join(folder, names.image);
  if (!fs.existsSync(path)) throw damaged(path, 'it is not there yet');
  return {base, image: checkedImage(await openSourceImage(path), path, digests)};
}

function readWhole(path: string): Buffer {
  try {
    return fs.readFileSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw damaged(path, 'it is not there yet');
    throw storeError(error, `read ${path}`);
  }
}

function damaged(path: string, why: string): DiskError {
  const text = `${path} is damaged, or not whole yet: ${why}; bring it again`;
  return new DiskError('FOLDER_DAMAGED', text, {path});
}

/** The image with each chunk compared; where its holes are only the digests are believed. */
function checkedImage(image: SourceImage, path: string, digests: Buffer): SourceImage {
  const digestAt = (chunk: number): Buffer =>
    digests.subarray(chunk * DIGEST_BYTES, (chunk + 1) * DIGEST_BYTES);
  return {
    scan: (sizeBytes, onExtent) => {
      for (let chunk = 0; chunk * SYNC_CHUNK_BYTES < sizeBytes; chunk += 1) {
        if (digestAt(chunk).equals(ZERO_DIGEST)) continue;
        const start = chunk * SYNC_CHUNK_BYTES;
        onExtent(start, Math.min(start + SYNC_CHUNK_BYTES, sizeBytes));
      }

      return Promise.resolve();
    },
    read: async (offset, target) => {
      await image.read(offset, target);
      const chunk = offset / SYNC_CHUNK_BYTES;
      if (digestAt(chunk).equals(await digestOf(target))) return;
      throw damaged(path, `the MiB at ${offset} is not the one that was exported`);
    },
    close: () => image.close(),
  };
}

/** What a base that was written holds. */
export interface WrittenBase {
  readonly begin: string;
  readonly end: string;
  readonly sizeBytes: number;
  /** Content that was copied; the rest is holes. */
  readonly dataBytes: number;
}

/**
 * Takes a whole copy from a sync source and makes a base of it; the other end of `stream` is served.
 *
 * @throws DiskError as the source ended, STORE_FULL, STORE_IO; nothing new is then in the folder
 */
export async function writeBase(
  stream: Duplex,
  folder: string,
  identity: {readonly resourceId: string; readonly nodeId: string},
): Promise<WrittenBase> {
  const {resourceId, nodeId} = identity;
  // Whoever reads or writes hears of the end.
  stream.on('error', () => undefined);
  const frames = readFrames(stream, SILENCE_MS);
  const temporary = join(folder, `.base-${resourceId}.tmp`);
  try {
    const hello = {
      version: 1,
      resourceId,
      nodeId,
      chunkBytes: SYNC_CHUNK_BYTES,
      resume: null,
    } as const;
    await writeFrame(stream, encodeSyncHello(hello));
    const first = await nextFrame(frames);
    if (first.type !== FRAME.syncBegin) throw protocolError('a sync without a SYNC_BEGIN');
    const begin = decodeSyncBegin(first.payload);
    const copy = await copyImage(stream, frames, temporary, begin);
    return publish(folder, temporary, resourceId, begin, copy);
  } catch (error) {
    fs.rmSync(temporary, {force: true});
    throw storeError(error, `write a base image to ${folder}`);
  } finally {
    stream.destroy();
  }
}

interface Copy {
  readonly end: SyncEnd;
  readonly digests: Buffer;
  readonly dataBytes: number;
}

async function copyImage(
  stream: Duplex,
  frames: AsyncGenerator<Frame, void>,
  path: string,
  {sizeBytes}: SyncBegin,
): Promise<Copy> {
  const count = Math.ceil(sizeBytes / SYNC_CHUNK_BYTES);
  const digests = Buffer.alloc(count * DIGEST_BYTES);
  const handle = await fs.promises.open(path, 'w', 0o600);
  let dataBytes = 0;
  let unsynced = 0;
  try {
    await handle.truncate(sizeBytes);
    // All zeros here: only what has content is sent.
    await writeFrame(stream, encodeChunkRange(FRAME.syncAskZeros, {first: 0, count}));
    for (;;) {
      const {type, payload} = await nextFrame(frames);
      if (type === FRAME.syncEnd) {
        await handle.sync();
        return {end: decodeSyncEnd(payload), digests, dataBytes};
      }

      if (type !== FRAME.syncData) continue;
      const {chunk, bytes} = decodeSyncData(payload);
      if (chunk >= count) throw protocolError(`a chunk ${chunk} of ${count}`);
      await handle.write(bytes, 0, bytes.length, chunk * SYNC_CHUNK_BYTES);
      (await digestOf(bytes)).copy(digests, chunk * DIGEST_BYTES);
      dataBytes += bytes.length;
      unsynced += bytes.length;
      if (unsynced < SYNC_EVERY_BYTES) continue;
      await handle.datasync();
      unsynced = 0;
    }
  } finally {
    await handle.close();
  }
}

/** Image, digests, then the document that makes them a base. */
function publish(
  folder: string,
  temporary: string,
  resourceId: string,
  {begin, chain, sizeBytes, lineage}: SyncBegin,
  {end, digests, dataBytes}: Copy,
): WrittenBase {
  const names = baseNames(begin);
  fs.renameSync(temporary, join(folder, names.image));
  const path = join(folder, names.digests);
  const fd = fs.openSync(`${path}.tmp`, 'w', 0o600);
  try {
    fs.writeFileSync(fd, digests);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }

  fs.renameSync(`${path}.tmp`, path);
  const file: BaseFile = {
    schema: HOME_SCHEMA,
    resourceId,
    sizeBytes,
    chunkBytes: SYNC_CHUNK_BYTES,
    begin,
    chain,
    ...end,
    lineage: [...lineage],
    digestsSha256: createHash('sha256').update(digests).digest('hex'),
  };
  // Its fsync of the directory is also that of the two before.
  writeJsonFile(join(folder, names.json), file);
  return {begin, end: end.end, sizeBytes, dataBytes};
}

async function nextFrame(frames: AsyncGenerator<Frame, void>): Promise<Frame> {
  const result = await frames.next();
  if (result.done === true)
    throw new DiskError('PEER_UNREACHABLE', 'the source has ended the copy');
  const {type, payload} = result.value;
  if (type !== FRAME.end) return result.value;
  const {code, text} = decodeEnd(payload);
  throw new DiskError(isErrorCode(code) ? code : 'PEER_REFUSED', text);
}

/** The position from which on a base needs the log. */
export function beginOf(name: string): number {
  return parsePosition(beginOfName(name) ?? formatPosition(0)) ?? 0;
}
