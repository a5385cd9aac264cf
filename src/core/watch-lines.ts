/**
 * The stream `POST /watch` of a disk process that serves: it tells the daemon when it is worth asking
 * for the status, so that one that is calm need not be asked. One byte each:
 *
 *   !   something of the status has changed
 *   .   nothing has, and the process is alive; every WATCH_ALIVE_MS where nothing else is said
 *
 * The end of the stream is the end of the process. Nothing goes the other way.
 */
export const WATCH_PROTOCOL = 'mars-watch/1';
export const WATCH_NEWS = '!'.charCodeAt(0);
export const WATCH_ALIVE = '.'.charCodeAt(0);
export const WATCH_ALIVE_MS = 2000;
/** A process that says nothing for so long is asked: as long as two looks of a daemon that asks. */
export const WATCH_SILENCE_MS = 3500;
