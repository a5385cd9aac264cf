/** What the JSON payloads of frames must be. Keys that are not named here are passed over. */
import * as v from 'valibot';
import {MIB} from '../core/units.js';
import {chainSchema, idSchema, lineageSchema, positionSchema} from './lineage.js';

/** What a sync compares and copies at a time. */
export const SYNC_CHUNK_BYTES = MIB;

const COUNT = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const TEXT = v.pipe(v.string(), v.maxLength(4096));

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
});

export const SYNC_END = v.object({end: positionSchema, endChain: v.nullable(chainSchema)});
