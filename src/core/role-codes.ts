/** Codes of roles that move between nodes; part of CODES. */
import type {CodeEntry} from './codes.js';

export const ROLE_CODES = {
  ROLE_GRANTED: {
    exit: 'refused',
    meaning:
      'The last primary has granted the role to another node, durably. Only that node may become ' +
      'primary now: two would write two histories.',
    remedy:
      'mars primary NAME on the node that the message names; from there it can be handed on. If ' +
      'that node is gone for good: mars primary NAME --force here; what it may have written since ' +
      'the grant is then a second history.',
  },
  PRIMARY_AWAY: {
    exit: 'unreachable',
    meaning:
      'The node that was primary last does not answer, so it cannot hand the role over: it may be ' +
      'primary still, and have data that is not here.',
    remedy:
      'Bring it back, or, if it is really down: mars primary NAME --force here. What it ' +
      'acknowledged after it was last heard of is then not on this node.',
  },
  HANDOVER_FAILED: {
    exit: 'refused',
    meaning: 'The primary could not end its role; it goes on as primary, nothing has changed.',
    remedy: 'The message has the reason. Try again when it is gone.',
  },
  HOOK_FAILED: {
    exit: 'refused',
    meaning:
      'An executable in HOME/hooks failed, did not end in time, or cannot be run. One that runs ' +
      'before a change of the role (before-...) refuses it; after one (after-...) nothing changes.',
    remedy:
      'The message has its path and its output. Mend it, or take it away, then try again; a ' +
      'message of an after-... hook goes with the next one that succeeds.',
  },
  SERVICE_FAILED: {
    exit: 'refused',
    meaning:
      'The systemd unit that is bound to the primary role did not stop, so the role stays where ' +
      'it is and the unit was started again; or it did not start, and the disk is there without it.',
    remedy:
      'systemctl status UNIT says why. Then mars secondary NAME, or mars primary NAME, again; ' +
      'mars resource set NAME systemd-unit=none unbinds it.',
  },
  FETCH_STOPPED: {
    exit: 'refused',
    meaning:
      'This replica does not fetch (paused, disconnected or detached): it could not get the rest ' +
      'of the log, so the primary was not asked to end its role.',
    remedy: 'mars connect NAME, mars fetch resume NAME, mars attach NAME; then mars primary NAME.',
  },
  REPLICA_INCONSISTENT: {
    exit: 'refused',
    meaning:
      'The image of this replica is no state of the disk: its copy is not complete, or part of ' +
      'its log is missing. It cannot become primary, not by force either.',
    remedy: 'Wait until the copy is done: mars sync status NAME. Else use another replica.',
  },
  SUPERSEDED: {
    exit: 'done',
    meaning:
      'While this node was away another one became primary. This node has nothing of its own ' +
      'beyond that, so it is secondary now and follows.',
    remedy: 'Nothing. mars primary NAME here takes the role back, handed over in order.',
  },
  TWO_PRIMARIES: {
    exit: 'refused',
    meaning:
      'Two nodes serve the disk at the same time: one was made primary by force while the other went on. As long as ' +
      'nothing is written on both there is one history.',
    remedy:
      'At once: on the node that is not to be primary stop what uses the disk, then mars secondary NAME there. It ' +
      'follows by itself where it has written nothing of its own; else it is a fork: mars fork show NAME.',
  },
  GRANT_UNCONFIRMED: {
    exit: 'done',
    meaning:
      'This node has granted the primary role to another one, and does not know yet whether that ' +
      'one has taken it.',
    remedy: 'mars primary NAME on that node. This one does not resume by itself.',
  },
} as const satisfies Readonly<Record<string, CodeEntry>>;
