/** What the JSON payloads of frames must be. Keys that are not named here are passed over. */
import * as v from 'valibot';
import {MIB} from '../core/units.js';
import {chainSchema, idSchema, lineageSchema, positionSchema} from './lineage.js';

/** What a sync compares and copies at a time. */
export const SYNC_CHUNK_BYTES = MIB;

const COUNT = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const TEXT = v.pipe(v.string(), v.maxLength(4096));

/** Names of what the sender can unpack; also such that are not known here. */
const PACKINGS = v.exactOptional(
  v.pipe(v.array(v.pipe(v.string(), v.maxLength(32))), v.maxLength(16)),
);
/** What the source compresses with, as far as that is worth it; absent: nothing. */
const PACKING = v.exactOptional(v.pipe(v.string(), v.maxLength(32)));

export const HELLO = v.object({
  version: v.literal(1),
  resourceId: idSchema,
  nodeId: idSchema,
  epoch: v.nullable(idSchema),
  position: positionSchema,
  chain: chainSchema,
  to: positionSchema,
  lineage: lineageSchema,
  /** It understands ASK. */
  asks: v.exactOptional(v.boolean()),
  compression: PACKINGS,
});

export const ANSWER = v.object({
  kind: v.picklist(['follow', 'cut', 'forked', 'gone', 'unknown', 'behind', 'refused']),
  position: v.exactOptional(positionSchema),
  chain: v.exactOptional(chainSchema),
  oldest: v.exactOptional(positionSchema),
  lineage: v.exactOptional(lineageSchema),
  sizeBytes: v.exactOptional(COUNT),
  code: v.exactOptional(TEXT),
  text: v.exactOptional(TEXT),
  compression: PACKING,
});

export const END = v.object({code: TEXT, text: TEXT});

export const SYNC_HELLO = v.object({
  version: v.literal(1),
  resourceId: idSchema,
  nodeId: idSchema,
  chunkBytes: v.literal(SYNC_CHUNK_BYTES),
  resume: v.nullable(
    v.object({
      epoch: v.nullable(idSchema),
      begin: positionSchema,
      chain: chainSchema,
      doneChunks: COUNT,
      end: v.nullable(positionSchema),
      endChain: v.nullable(chainSchema),
    }),
  ),
  compression: PACKINGS,
});

export const SYNC_BEGIN = v.object({
  sizeBytes: COUNT,
  epoch: v.nullable(idSchema),
  begin: positionSchema,
  chain: chainSchema,
  resumed: v.boolean(),
  doneChunks: COUNT,
  lineage: lineageSchema,
  /** The source understands SYNC_SKIP and SYNC_ASK_BYTES. */
  ranges: v.exactOptional(v.boolean()),
  compression: PACKING,
});

export const SYNC_END = v.object({end: positionSchema, endChain: v.nullable(chainSchema)});
