/** The ways from node to node, fetch and sync, for people. */
import type {FlowView, SyncLimitView, SyncProgress} from '../control/api.js';
import {formatBytes} from '../core/units.js';
import {formatSeconds} from './times.js';

const BAR_COLUMNS = 24;

/** How far fetch or sync is, on one line; while a copy runs, a bar on a second one. */
export function renderFlow(view: FlowView): string {
  const paused = view.paused && view.state !== 'paused' ? ' (pause wished)' : '';
  const source = view.source === null ? '' : ` from ${view.source}`;
  const why = view.waiting === null ? '' : `, waits for: ${view.waiting.reason}`;
  const lag = view.flow === 'fetch' ? `, ${formatLag(view)}` : '';
  const head = `${view.name}: ${view.flow} ${view.state}${source}${paused}${lag}${why}`;
  return view.flow === 'sync' && view.sync !== null
    ? `${head}\n  ${renderCopy(view.sync, undefined)}`
    : head;
}

/** How many images are copied at once, which ones, and who is in line. */
export function renderSyncLimit({limit, running, waiting}: SyncLimitView): string {
  const most = limit === 0 ? 'any number' : `at most ${limit}`;
  const list = (turns: SyncLimitView['running']): string =>
    turns.length === 0
      ? 'none'
      : turns.map(({name, since}) => `${name} (since ${since})`).join(', ');
  return [`${most} at once`, `copied now: ${list(running)}`, `waiting: ${list(waiting)}`].join(
    '\n',
  );
}

/** How far behind in time and bytes: `0.2 s behind (4 KiB)`. */
export function formatLag({
  lagSeconds,
  lagBytes,
}: {
  readonly lagSeconds: number | null;
  readonly lagBytes: number | null;
}): string {
  const bytes = lagBytes === null ? '' : formatBytes(Math.max(0, lagBytes));
  if (lagSeconds !== null) {
    return `${formatSeconds(lagSeconds)} behind${bytes === '' ? '' : ` (${bytes})`}`;
  }

  return bytes === '' ? 'lag unknown' : `${bytes} behind`;
}

/**
 * A copy of an image: a bar with percent and, where the rate is known, rate and what remains.
 *
 * @param bytesPerSecond undefined: not known yet
 */
export function renderCopy(
  {percent, doneBytes, totalBytes}: SyncProgress,
  bytesPerSecond: number | undefined,
): string {
  const part = totalBytes === 0 ? 1 : Math.min(1, Math.max(0, doneBytes / totalBytes));
  // Full only when it is: what is nearly done is not done.
  const full = part === 1 ? BAR_COLUMNS : Math.min(BAR_COLUMNS - 1, Math.floor(part * BAR_COLUMNS));
  const bar = `[${'#'.repeat(full)}${'-'.repeat(BAR_COLUMNS - full)}]`;
  const shown = part < 1 ? Math.min(99, Math.floor(percent)) : 100;
  const done = `copy ${bar} ${shown} %`;
  if (bytesPerSecond === undefined) return `${done} of ${formatBytes(totalBytes)}`;
  if (bytesPerSecond <= 0) return `${done}, stands still`;
  const left = formatSeconds((totalBytes - doneBytes) / bytesPerSecond);
  return `${done}, ${formatBytes(Math.round(bytesPerSecond))}/s, ${left} left`;
}
