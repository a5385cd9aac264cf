/**
 * Compression of what travels in frames: the algorithms by name, as Node offers them. Fast levels
 * only: a link is to be used, not a processor.
 *
 *   name    number  level
 *   gzip    1       1
 *   brotli  2       quality 1
 *   zstd    3       1, from Node 22.15 on
 */
import zlib from 'node:zlib';
import {PACKING_NAMES, type PackingName, type PackingWish} from '../core/packing-names.js';

type Done = (error: Error | null, result: Buffer) => void;

/** The part of zlib that the types of Node 20 do not know. */
interface Zstd {
  readonly zstdCompress?: (bytes: Buffer, options: object, done: Done) => void;
  readonly zstdDecompressSync?: (bytes: Buffer, options: object) => Buffer;
}

interface Packing {
  readonly number: number;
  readonly pack: (bytes: Buffer, done: Done) => void;
  readonly unpack: (bytes: Buffer, options: {maxOutputLength: number; chunkSize: number}) => Buffer;
}

const {zstdCompress, zstdDecompressSync} = zlib as unknown as Zstd;
/** ZSTD_c_compressionLevel of zstd.h. */
const ZSTD_LEVEL = 100;
const CHUNK_BYTES_MIN = 64;

const GZIP: Packing = {
  number: 1,
  pack: (bytes, done) => {
    zlib.gzip(bytes, {level: 1}, done);
  },
  unpack: (bytes, options) => zlib.gunzipSync(bytes, options),
};
const BROTLI: Packing = {
  number: 2,
  pack: (bytes, done) => {
    const {BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT} = zlib.constants;
    const params = {[BROTLI_PARAM_QUALITY]: 1, [BROTLI_PARAM_SIZE_HINT]: bytes.length};
    zlib.brotliCompress(bytes, {params}, done);
  },
  unpack: (bytes, options) => zlib.brotliDecompressSync(bytes, options),
};

function zstd(): Packing | undefined {
  if (zstdCompress === undefined || zstdDecompressSync === undefined) return undefined;
  return {
    number: 3,
    pack: (bytes, done) => {
      zstdCompress(bytes, {params: {[ZSTD_LEVEL]: 1}}, done);
    },
    unpack: (bytes, options) => zstdDecompressSync(bytes, options),
  };
}

const PACKINGS: Readonly<Record<PackingName, Packing | undefined>> = {
  zstd: zstd(),
  brotli: BROTLI,
  gzip: GZIP,
};

/** What this Node can unpack, and pack, best first: told in HELLO. */
export const PACKINGS_HERE: readonly PackingName[] = PACKING_NAMES.filter(
  (name) => PACKINGS[name] !== undefined,
);

/**
 * Which one to use for a peer that can unpack `theirs`.
 *
 * @param theirs names, also such that are not known here; undefined: an older peer
 * @returns undefined: none
 */
export function choosePacking(
  wish: PackingWish,
  theirs: readonly string[] | undefined,
): PackingName | undefined {
  if (wish === 'none') return undefined;
  const wanted = wish === 'auto' ? PACKINGS_HERE : PACKINGS_HERE.filter((name) => name === wish);
  return wanted.find((name) => theirs?.includes(name));
}

/** How a packing is called on the wire. */
export function packingNumber(name: PackingName): number {
  return use(name).number;
}

/** Compresses on another thread. */
export function pack(name: PackingName, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    use(name).pack(bytes, (error, result) => {
      if (error === null) resolve(result);
      else reject(error);
    });
  });
}

/**
 * Expands to exactly `length` bytes, and never takes more memory than that, whatever the peer sends.
 *
 * @param offered names that the peer may use
 * @returns undefined where the number is of none of them, or the bytes are not that
 */
export function unpack(
  number: number,
  offered: readonly PackingName[],
  bytes: Buffer,
  length: number,
): Buffer | undefined {
  const name = offered.find((each) => PACKINGS[each]?.number === number);
  if (name === undefined) return undefined;
  const chunkSize = Math.max(CHUNK_BYTES_MIN, length);
  try {
    const result = use(name).unpack(bytes, {maxOutputLength: length, chunkSize});
    return result.length === length ? result : undefined;
  } catch {
    // What is no such format, and what would become longer: the peer's fault in both cases.
    return undefined;
  }
}

function use(name: PackingName): Packing {
  const packing = PACKINGS[name];
  if (packing !== undefined) return packing;
  throw new RangeError(`this Node has no ${name}`);
}
