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
