/** What the settings of a mode must be, in a file and from a peer. */
import * as v from 'valibot';
import {DEGRADE_AFTER_SECONDS_MAX, REPLICATION_MODES, SYNC_REPLICAS_MAX} from '../core/mode.js';
import {idSchema} from './members.js';

export const modeSchema = v.picklist(REPLICATION_MODES);
export const syncReplicasSchema = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(1),
  v.maxValue(SYNC_REPLICAS_MAX),
);
export const degradeAfterSchema = v.nullable(
  v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(DEGRADE_AFTER_SECONDS_MAX)),
);
export const modeChangeSchema = v.object({
  count: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  node: idSchema,
});

/** As it travels in facts and in the answer to a handover. */
export const sharedModeSchema = v.object({
  mode: modeSchema,
  syncReplicas: syncReplicasSchema,
  degradeAfterSeconds: degradeAfterSchema,
  change: modeChangeSchema,
});
