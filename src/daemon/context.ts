import type {Logger} from 'pino';
import type {Clock} from '../core/clock.js';
import type {EventCode} from '../core/events.js';
import type {ErrorCode} from '../core/codes.js';
import type {Severity} from '../core/disk-status.js';
import type {ErrorDetails} from '../core/errors.js';
import type {RoleServices} from './replication/role-services.js';
import type {SpaceServices} from './space/space-watch.js';
import type {HomePaths, NodeFile} from '../core/home.js';

/** What starts a disk: the holder script, and the node program that it runs again and again. */
export interface DiskPrograms {
  readonly holder: string;
  readonly main: string;
}

/** Tells an event of a resource, or of the node where `resource` is null. */
export type Tell = (
  code: EventCode | ErrorCode,
  severity: Severity,
  resource: string | null,
  text: string,
  details?: ErrorDetails,
) => void;

/** What every part of the daemon is given. */
export interface Context {
  readonly paths: HomePaths;
  /** The node as it is in force: `node.json` may be edited while the daemon runs. */
  node: NodeFile;
  readonly programs: DiskPrograms;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tell: Tell;
  /** What roles need of the cluster; absent while the node has none. */
  roles?: RoleServices;
  /** The room for logs; absent before it is looked at. */
  space?: SpaceServices;
}
