/** One screen of `mars top`. Pure: the same text for the same document and view. */
import type {Paint} from './paint.js';
import {HEALTH_COLOUR} from './render-replicas.js';
import {renderTable, type Cell} from './table.js';
import {formatSeconds} from './times.js';
import type {TopDocument, TopRow} from './top-sample.js';

/** Columns by which rows can be sorted: names first to last, numbers largest first. */
export const SORTS = ['name', 'read', 'write', 'flush', 'replay', 'lag'] as const;

export type Sort = (typeof SORTS)[number];

/** From this width on throughput and latency stand beside each other. */
export const WIDE_COLUMNS = 146;

export interface TopView {
  /** Latency in the place of throughput, where there is no room for both. */
  readonly showsLatency: boolean;
  readonly sort: Sort;
  readonly paused: boolean;
  /** The first row that is shown. */
  readonly offset: number;
  readonly columns: number;
  /** Lines of the screen; Infinity: all rows. */
  readonly lines: number;
  readonly isInteractive: boolean;
  readonly paint: Paint;
}

interface Column {
  readonly title: string;
  readonly sort?: Sort;
  readonly cell: (row: TopRow, paint: Paint) => Cell;
}

const NAME_COLUMNS: readonly Column[] = [
  {title: 'NAME', sort: 'name', cell: ({name}) => name},
  {title: '', cell: ({role}) => letterOf(role)},
  {title: 'STATE', cell: ({state, health}, paint) => paintedState(state, health, paint)},
];

const RATE_COLUMNS: readonly Column[] = [
  {title: 'READ/S', sort: 'read', cell: (row) => compactBytes(row.readBytesPerSecond)},
  {title: 'WRITE/S', sort: 'write', cell: (row) => compactBytes(row.writtenBytesPerSecond)},
  {title: 'REQ/S', cell: (row) => compactCount(sum(row.readsPerSecond, row.writesPerSecond))},
  {title: 'FLUSH/S', sort: 'flush', cell: (row) => compactCount(row.flushesPerSecond)},
  {title: 'REPLAY/S', sort: 'replay', cell: (row) => compactBytes(row.replayedBytesPerSecond)},
  {title: 'UNREPL', cell: (row) => compactBytes(row.unreplayedBytes)},
  {
    title: 'LAG',
    sort: 'lag',
    cell: ({lagSeconds}) => (lagSeconds === null ? '-' : formatSeconds(lagSeconds)),
  },
];

const LATENCY_COLUMNS: readonly Column[] = [
  {title: 'WRITE50', cell: ({latency}) => compactLatency(latency.write?.p50Seconds)},
  {title: 'WRITE99', cell: ({latency}) => compactLatency(latency.write?.p99Seconds)},
  {title: 'FLUSH50', cell: ({latency}) => compactLatency(latency.flush?.p50Seconds)},
  {title: 'FLUSH99', cell: ({latency}) => compactLatency(latency.flush?.p99Seconds)},
  {title: 'REPLAY50', cell: ({latency}) => compactLatency(latency.replay?.p50Seconds)},
  {title: 'REPLAY99', cell: ({latency}) => compactLatency(latency.replay?.p99Seconds)},
];

function columnsOf({columns, showsLatency}: TopView): readonly Column[] {
  if (columns >= WIDE_COLUMNS) return [...NAME_COLUMNS, ...RATE_COLUMNS, ...LATENCY_COLUMNS];
  return [...NAME_COLUMNS, ...(showsLatency ? LATENCY_COLUMNS : RATE_COLUMNS)];
}

/** Lines that are no rows: the head, the titles, the foot. */
const FRAME_LINES = 4;
const HELP = 'q quit  p pause  l latency  left/right sort  up/down scroll';

/** The screen, without a final line break. */
export function renderTop(document: TopDocument, view: TopView): string {
  const rows = [...document.resources].sort(comparing(view.sort));
  const room = Math.max(1, view.lines - FRAME_LINES);
  const offset = Math.min(Math.max(0, view.offset), Math.max(0, rows.length - room));
  const shownColumns = columnsOf(view);
  const titles = shownColumns.map(({title, sort}) =>
    view.isInteractive && sort === view.sort ? `${title}*` : title,
  );
  const cells = rows.map((row) => shownColumns.map(({cell}) => cell(row, view.paint)));
  const [header = '', ...lines] = renderTable(titles, cells, view.columns);
  const shown = lines.slice(offset, view.lines === Infinity ? undefined : offset + room);
  const hidden = rows.length - shown.length;
  const foot = hidden > 0 ? [view.paint('dim', `${shown.length} of ${rows.length} shown`)] : [];
  const help = view.isInteractive ? view.paint('dim', HELP) : '';
  return [renderHead(document, view), help, view.paint('bold', header), ...shown, ...foot].join(
    '\n',
  );
}

function renderHead({node, intervalSeconds, resources}: TopDocument, view: TopView): string {
  const bad = resources.filter(({health}) => health !== 'ok').length;
  const all = `${resources.length} resource${resources.length === 1 ? '' : 's'}`;
  const well =
    bad === 0 ? view.paint('green', 'all is well') : view.paint('yellow', `${bad} not well`);
  const head = `${node}: ${all}, ${well}, over ${formatSeconds(intervalSeconds)}`;
  return view.paused ? `${head}  ${view.paint('yellow', 'PAUSED')}` : head;
}

function paintedState(state: TopRow['state'], health: TopRow['health'], paint: Paint): Cell {
  return {text: state, shown: paint(HEALTH_COLOUR[health], state)};
}

/** P and S; small where wish and fact are not one. */
function letterOf(role: TopRow['role']): string {
  const letters = {primary: 'P', forcedPrimary: 'P', remainsPrimary: 'p', notYetPrimary: 'p'};
  return role in letters ? letters[role as keyof typeof letters] : role === 'secondary' ? 'S' : '-';
}

function sum(left: number | null, right: number | null): number | null {
  return left === null || right === null ? null : left + right;
}

function comparing(sort: Sort): (left: TopRow, right: TopRow) => number {
  const byName = (left: TopRow, right: TopRow): number => (left.name < right.name ? -1 : 1);
  if (sort === 'name') return byName;
  const valueOf = {
    read: (row: TopRow) => row.readBytesPerSecond,
    write: (row: TopRow) => row.writtenBytesPerSecond,
    flush: (row: TopRow) => row.flushesPerSecond,
    replay: (row: TopRow) => row.replayedBytesPerSecond,
    lag: (row: TopRow) => row.lagSeconds,
  }[sort];
  return (left, right) => (valueOf(right) ?? -1) - (valueOf(left) ?? -1) || byName(left, right);
}

/** `0`, `512`, `1.5K`, `830K`, `1.2M`: at most five characters; `-` where it is not known. */
export function compactBytes(bytes: number | null): string {
  return bytes === null ? '-' : compact(bytes, 1024);
}

function compactCount(count: number | null): string {
  return count === null ? '-' : compact(count, 1000);
}

/** `85us`, `1.2ms`, `340ms`, `2.5s`: at most five characters; `-` where nothing was counted. */
export function compactLatency(seconds: number | undefined): string {
  if (seconds === undefined) return '-';
  if (seconds < 0.9995e-3) return `${Math.round(seconds * 1e6)}us`;
  if (seconds < 0.9995) return `${(seconds * 1e3).toFixed(seconds < 9.95e-3 ? 1 : 0)}ms`;
  return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)}s`;
}

function compact(number: number, factor: number): string {
  let value = number;
  let step = 0;
  while (Math.round(value) >= factor && step < 5) {
    value /= factor;
    step += 1;
  }

  const digits = step > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)}${['', 'K', 'M', 'G', 'T', 'P'][step] ?? ''}`;
}
