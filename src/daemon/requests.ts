/** The bodies of requests as they must be; what is not named here is refused. */
import * as v from 'valibot';
import {check} from '../core/check.js';
import {DiskError} from '../core/errors.js';
import {isObject} from '../core/json-file.js';
import {SYNC_LIMIT_MAX} from '../core/limits.js';
import {positionSchema} from '../log/lineage.js';

const TIMEOUT_SECONDS_DEFAULT = 60;
const TIMEOUT_SECONDS_MAX = 86_400;

const TIMEOUT = v.optional(
  v.pipe(v.number(), v.minValue(0), v.maxValue(TIMEOUT_SECONDS_MAX)),
  TIMEOUT_SECONDS_DEFAULT,
);
const DRIVER = v.exactOptional(v.picklist(['auto', 'kernel', 'fuse-native']));
const SETTINGS = v.record(v.string(), v.string());

export const CREATE = v.strictObject({
  name: v.string(),
  sizeBytes: v.number(),
  image: v.exactOptional(v.string()),
  force: v.exactOptional(v.boolean()),
  preallocate: v.exactOptional(v.boolean()),
  driver: DRIVER,
  settings: v.exactOptional(SETTINGS),
  activate: v.exactOptional(v.boolean()),
});

export const JOIN = v.strictObject({
  image: v.exactOptional(v.string()),
  force: v.exactOptional(v.boolean()),
  preallocate: v.exactOptional(v.boolean()),
  from: v.exactOptional(v.string()),
  replace: v.exactOptional(v.boolean()),
  dryRun: v.exactOptional(v.boolean()),
  confirmed: v.exactOptional(v.boolean()),
});

export const EXPORT = v.strictObject({
  folder: v.string(),
  base: v.optional(v.boolean(), false),
  open: v.optional(v.boolean(), false),
  forget: v.optional(v.boolean(), false),
});

export const IMPORT = v.strictObject({
  paths: v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(10_000)),
  replay: v.optional(v.boolean(), false),
  timeoutSeconds: TIMEOUT,
});

export const RESTART = v.strictObject({
  program: v.exactOptional(v.string()),
  node: v.exactOptional(v.string()),
});

export const MOVE_JOIN = v.strictObject({to: v.string(), image: v.exactOptional(v.string())});

export const MOVE_PRIMARY = v.strictObject({to: v.string(), timeoutSeconds: TIMEOUT});

export const FOLLOW_FOLDER = v.strictObject({folder: v.exactOptional(v.string())});

export const LEAVE = v.strictObject({
  dryRun: v.optional(v.boolean(), false),
  confirmed: v.optional(v.boolean(), false),
  timeoutSeconds: TIMEOUT,
});

export const DELETE = v.strictObject({
  dryRun: v.optional(v.boolean(), false),
  confirmed: v.optional(v.boolean(), false),
});

export const SET = v.strictObject({settings: SETTINGS});
export const RESIZE = v.strictObject({sizeBytes: v.number()});
export const ROLE = v.strictObject({timeoutSeconds: TIMEOUT});
export const NOTHING = v.strictObject({});

export const PRIMARY = v.strictObject({
  timeoutSeconds: TIMEOUT,
  device: v.optional(v.boolean(), true),
  force: v.optional(v.boolean(), false),
  driver: DRIVER,
});

export const FORK_BRANCH = v.strictObject({
  branch: v.exactOptional(v.string()),
  dryRun: v.optional(v.boolean(), false),
  confirmed: v.optional(v.boolean(), false),
  timeoutSeconds: TIMEOUT,
});

export const FORK_EXTRACT = v.strictObject({
  branch: v.exactOptional(v.string()),
  to: v.string(),
  timeoutSeconds: TIMEOUT,
});

export const FORK = v.strictObject({
  keep: v.string(),
  image: v.optional(v.boolean(), true),
  timeoutSeconds: TIMEOUT,
  dryRun: v.optional(v.boolean(), false),
  confirmed: v.optional(v.boolean(), false),
});

const WHEN = v.variant('kind', [
  v.strictObject({kind: v.literal('time'), timeMs: v.pipe(v.number(), v.finite())}),
  v.strictObject({
    kind: v.literal('position'),
    position: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/u, 'not a position')),
  }),
  v.strictObject({kind: v.literal('mark'), label: v.string()}),
]);

export const HISTORY_MARK = v.strictObject({label: v.string()});

export const HISTORY_MOUNT = v.strictObject({
  at: WHEN,
  asked: v.pipe(v.string(), v.maxLength(200)),
  writable: v.optional(v.boolean(), false),
  to: v.exactOptional(v.string()),
  device: v.optional(v.boolean(), true),
  timeoutSeconds: TIMEOUT,
});

export const HISTORY_UNMOUNT = v.strictObject({
  moment: v.exactOptional(v.string()),
  all: v.optional(v.boolean(), false),
});

export const HISTORY_ROLLBACK = v.strictObject({
  to: WHEN,
  asked: v.pipe(v.string(), v.maxLength(200)),
  dryRun: v.optional(v.boolean(), false),
  confirmed: v.optional(v.boolean(), false),
});

export const HISTORY_ABORT = v.strictObject({force: v.optional(v.boolean(), false)});

export const ROLLBACK_WAIT = v.strictObject({position: positionSchema});

export const PRUNE = v.strictObject({
  dryRun: v.optional(v.boolean(), false),
  purge: v.optional(v.boolean(), false),
  confirmed: v.optional(v.boolean(), false),
});

export const CUT = v.strictObject({
  at: v.exactOptional(positionSchema),
  dryRun: v.optional(v.boolean(), false),
  confirmed: v.optional(v.boolean(), false),
  force: v.optional(v.boolean(), false),
});

export const METRICS_LISTEN = v.strictObject({listen: v.nullable(v.string())});

export const VERIFY = v.strictObject({
  with: v.exactOptional(v.string()),
  repair: v.optional(v.boolean(), false),
  confirmed: v.optional(v.boolean(), false),
  bytesPerSecond: v.exactOptional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
});

export const CARE = v.strictObject({dryRun: v.optional(v.boolean(), false)});

export const SYNC_LIMIT = v.strictObject({
  limit: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(SYNC_LIMIT_MAX)),
});

export const STOP = v.strictObject({
  disks: v.optional(v.boolean(), false),
  timeoutSeconds: TIMEOUT,
});

/**
 * Reads the body of a request; an empty one is an empty object.
 *
 * @throws DiskError USAGE with the place of the fault
 */
export function parseBody<S extends v.GenericSchema>(schema: S, text: string): v.InferOutput<S> {
  try {
    const value: unknown = text.trim() === '' ? {} : JSON.parse(text);
    if (!isObject(value)) throw new Error('it is no object');
    return check(schema, value);
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    throw new DiskError('USAGE', `the body of the request is not valid: ${fault}`, {fault});
  }
}
