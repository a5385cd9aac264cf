/** Codes of the room for the log; part of CODES. */
import type {CodeEntry} from './codes.js';

export const SPACE_CODES = {
  LOG_ROOM_LOW: {
    exit: 'refused',
    meaning:
      'The file system of the log has little room left, or will have none within hours at the ' +
      'present growth. Nothing waits yet.',
    remedy:
      'Free space on it, or make it larger. mars status -x NAME shows what the log is kept for; a ' +
      'smaller log-cap or log-age keeps less for replicas that lag.',
  },
  BYPASS: {
    exit: 'refused',
    meaning:
      'The log has no room, and when-full=bypass: writes go to the image directly, and a durable map ' +
      'says where. Nothing is lost and nothing fails, also after a kill or a power loss; but the log does ' +
      'not hold these writes, so nobody can replay, export or resize meanwhile.',
    remedy:
      'Free space on the file system of the log. It ends by itself some seconds after there is room, with a short ' +
      'pause: the log then goes on behind a GAP.',
  },
  BYPASS_NOT_LEFT: {
    exit: 'refused',
    meaning:
      'Writes went past the log of this node, and the log does not say so yet. Whoever took its image and ' +
      'log together for the disk would be wrong, so nothing else is begun with them.',
    remedy:
      'mars primary NAME on this node: the first thing that it does is to write the GAP. It needs room for ' +
      'one logfile.',
  },
  BYPASS_REPLICAS: {
    exit: 'refused',
    meaning:
      'when-full=bypass is for resources without replicas: a replica cannot get what went past the log.',
    remedy:
      'mars resource set NAME when-full=block, or throttle, where there are replicas or one is to come.',
  },
  REPLICA_GAP: {
    exit: 'refused',
    meaning:
      'The log that this replica follows has a GAP: its primary wrote past the log there. The image is of ' +
      'the moment before, and the log cannot bring it further.',
    remedy:
      'mars invalidate NAME --yes on this node: the image is compared, and copied where it differs.',
  },
  WRITES_SLOWED: {
    exit: 'refused',
    meaning:
      'The log fills up faster than it drains, and when-full=throttle: each write is held up a ' +
      'little, for one second at most, so that replay and replicas keep up. Nothing fails.',
    remedy:
      'Nothing: it ends by itself. If it lasts, look at what the message names: a slow image, a ' +
      'slow replica, or little room for the log. mars resource set NAME when-full=block ends it.',
  },
} as const satisfies Readonly<Record<string, CodeEntry>>;
