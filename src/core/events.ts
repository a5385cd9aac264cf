import fs from 'node:fs';
import type {ErrorCode} from './codes.js';
import type {EventLine, Severity} from './disk-status.js';

/** Events that are no errors; `mars explain` knows them too. */
export const EVENT_CODES = {
  NODE_INITIALISED: 'The home of the node was made.',
  DAEMON_STARTED: 'The daemon started; disks that ran were adopted.',
  DAEMON_STOPPED: 'The daemon stopped in order; disks go on unless it was told otherwise.',
  RESOURCE_CREATED: 'A resource was created on this node.',
  RESOURCE_DELETED: 'A resource was deleted from this node.',
  RESOURCE_CHANGED: 'A setting of the resource was changed.',
  RESOURCE_RESIZED: 'The resource has grown.',
  REPLICA_JOINED: 'This node has a replica of the resource from now on; it is being copied.',
  REPLICA_LEFT: 'A replica of the resource is gone, by wish.',
  EXPORT_BEGUN: 'The log is exported to a folder from now on, and kept for it.',
  SYNC_BEGUN: 'The image is being copied, or compared, from another replica.',
  SYNC_FAKED: 'By wish an image was taken for a copy of another one, without a comparison.',
  SYNC_DONE: 'The image was copied; the log goes on from there.',
  VERIFY_EQUAL: 'A replica was compared with another one, and holds the same.',
  VERIFY_REPAIRED: 'What differed was copied to the replica, and compared again.',
  FETCH_PAUSED: 'Fetching of log, or copying of the image, was paused by the user.',
  FETCH_RESUMED: 'Fetching of log, or copying of the image, was resumed by the user.',
  LINK_UP: 'A node that was not heard of is back.',
  FORCED_PRIMARY: 'The resource was made primary here by force, without the last primary.',
  TAIL_TAKEN:
    'A primary that came back had less of its own log than a replica, and took it from there first.',
  CLOCK_RIGHT: 'The clocks of this node and of another one are the same again.',
  REMOTE_ASKED: 'Another node of the cluster asked this one, with --host, to turn a switch.',
  MOVE_ASKED: 'Another node, which gives up its replica, asks this one to take the next step.',
  ROLE_HANDED: 'The primary role was granted to another node; this one does not resume by itself.',
  ROLE_PRIMARY: 'The resource became primary here: image and device are there.',
  ROLE_SECONDARY: 'The resource is no longer primary here: image and device are gone.',
  DISK_STARTED: 'A disk process started and recovered its log.',
  DISK_RESTARTED: 'A disk process died and was started again; the application only waited.',
  DISK_RENEWED: 'A disk process was ended and started again with the installed version, by wish.',
  DISK_ADOPTED: 'The daemon found a running disk process and adopted it.',
  HOLDER_REPLACED: 'A holder died; the disk process started a new one.',
  LOG_ROTATED: 'The log went on in a new file.',
  REPLAY_PAUSED: 'Replay was paused by the user.',
  REPLAY_RESUMED: 'Replay was resumed by the user.',
  SPACE_BACK: 'The log has room again: waiting writes went on.',
  WRITES_FREE: 'Writes are not slowed any more.',
  BYPASS_LEFT: 'Writes go to the log again; a GAP says that it does not hold those before.',
  ROOM_BACK: 'The file system of the log has enough room again.',
  RESERVE_FREED: 'The space that was held in reserve on the file system of a log was given to it.',
  RESERVE_TAKEN: 'Space is held in reserve on the file system of a log again.',
  HISTORY_MARKED: 'A moment of the disk was given a name.',
  HISTORY_MOUNTED: 'The disk as of a moment was mounted beside it.',
  HISTORY_UNMOUNTED: 'A mounted moment was taken away.',
  ROLLBACK_BEGUN: 'A disk is being brought back to a moment of its log.',
  ROLLBACK_DONE:
    'A disk is what it was at a moment of its log; what was written since can be had again.',
  ROLLBACK_DROPPED:
    'A rollback does not go on here, as nothing was written yet or another node is primary now.',
  MODE_RESTORED: 'Enough replicas have caught up: flushes wait for them again.',
  FLUSHES_ANSWERED: 'Flushes that waited for replicas were answered.',
  PEER_INVITED: 'A join token was made on this node.',
  PEER_JOINED: 'A node became a member of the cluster.',
  PEER_REMOVED: 'A node was removed from the cluster.',
  PEER_CHANGED: 'The address or limit of a member was changed.',
  PEER_UP: 'A member of the cluster answers.',
  PEER_DOWN: 'A member of the cluster does not answer any more.',
  CLUSTER_JOINED: 'This node became a member of a cluster.',
  SETTING_REFUSED: 'A file edited by hand was not valid; the old value stays in force.',
} as const;

export type EventCode = keyof typeof EVENT_CODES;

export interface EventInput {
  readonly node: string;
  readonly resource: string | null;
  readonly code: EventCode | ErrorCode;
  readonly severity: Severity;
  readonly text: string;
  readonly details?: Readonly<Record<string, string | number>>;
}

/** Appends one line; a full disk loses the event, never the caller. */
export function appendEvent(file: string, wallMs: number, input: EventInput): EventLine {
  const line: EventLine = {schema: 1, time: new Date(wallMs).toISOString(), ...input};
  try {
    fs.appendFileSync(file, `${JSON.stringify(line)}\n`, {mode: 0o600});
  } catch {
    // An event is a courtesy; the state that it tells of is in the status as well.
  }

  return line;
}
