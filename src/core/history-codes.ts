/** Codes of history (time travel); part of CODES. */
import type {CodeEntry} from './codes.js';

export const HISTORY_CODES = {
  HISTORY_SHORTENED: {
    exit: 'refused',
    meaning:
      'The log has no room for as much history as the setting asks for, so replay went on before its ' +
      'time: moments that are older than restorableFrom cannot be mounted. Nothing else is touched.',
    remedy:
      'Free space on the file system of the log, or give it more: mars resource set NAME log-cap=S. A ' +
      'shorter history=TIME asks for what can be kept.',
  },
  HISTORY_GONE: {
    exit: 'refused',
    meaning:
      'The moment cannot be mounted here: the image is newer already, or the log up to it is not there, ' +
      'or is damaged.',
    remedy:
      'mars history list NAME says what can be mounted. Another node may reach further back. mars resource ' +
      'set NAME history=24h keeps more from now on.',
  },
  HISTORY_AHEAD: {
    exit: 'refused',
    meaning: 'The moment has not come yet, or is not durable here yet.',
    remedy:
      'mars history list NAME says what can be mounted. A replica may have to fetch it first.',
  },
  HISTORY_MARK_UNKNOWN: {
    exit: 'refused',
    meaning: 'What can be mounted here has no mark of that name.',
    remedy: 'mars history list NAME lists the marks. mars history mark NAME LABEL makes one.',
  },
  HISTORY_BUSY: {
    exit: 'refused',
    meaning:
      'A mounted moment is in use, or so many are mounted that no more can be, or the resource has one ' +
      'while it is to be removed.',
    remedy:
      'End what has it open (the message names it), then mars history unmount NAME. mars history list NAME ' +
      'shows what is mounted.',
  },
  HISTORY_LOST: {
    exit: 'damage',
    meaning:
      'A mounted moment is lost: the log ran out of room, or the history or image that it stood on was ' +
      'replaced. Reads of it are answered with an I/O error, never with other content; the disk itself goes on.',
    remedy:
      'mars history unmount NAME takes it away. mars history list NAME says what can still be mounted; ' +
      'with more room for the log (log-cap, a larger file system) moments last longer.',
  },
  ROLLBACK_UNFINISHED: {
    exit: 'refused',
    meaning:
      'The disk is on its way back to a moment, or its log ends in the middle of that: it is neither what it ' +
      'was then nor what it was before. It cannot be opened or handed over until it is one of the two.',
    remedy:
      'mars status NAME says how far it is: it goes on by itself, also after a crash. mars history rollback ' +
      'NAME --abort goes back to what the disk was before. Where another node became primary meanwhile, the ' +
      'message names the commands that finish or undo it there.',
  },
  ROLLBACK_ROOM: {
    exit: 'refused',
    meaning:
      'The log has no room for what a rollback would write: as much as was changed since the moment. Nothing ' +
      'was changed.',
    remedy:
      'Free space on the file system of the log, or raise log-cap (mars resource set NAME log-cap=S). Or mount ' +
      'the moment (mars history mount NAME --at WHEN) and copy from it what is wanted.',
  },
} as const satisfies Readonly<Record<string, CodeEntry>>;
