import {WIDTH} from './wrap-text.js';

export type Cell = string | {readonly text: string; readonly shown: string};

const GAP = '  ';

/**
 * Aligned, borderless, greppable lines: a header, then a line for each row. The first column gives
 * way where the lines would not fit `width`; a cell with `shown` is measured by its `text`.
 */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  width = WIDTH,
): string[] {
  const widths = header.map((title, index) =>
    Math.max(title.length, ...rows.map((row) => textOf(row[index]).length)),
  );
  const rest = widths.slice(1).reduce((sum, value) => sum + value + GAP.length, 0);
  widths[0] = Math.max(8, Math.min(widths[0] ?? 0, width - rest));
  return [header, ...rows].map((row) =>
    row
      .map((cell, index) => padCell(cell, widths[index] ?? 0))
      .join(GAP)
      .trimEnd(),
  );
}

function textOf(cell: Cell | undefined): string {
  if (cell === undefined) return '';
  return typeof cell === 'string' ? cell : cell.text;
}

function padCell(cell: Cell, width: number): string {
  const text = textOf(cell);
  if (text.length > width) return shorten(text, width);
  const shown = typeof cell === 'string' ? cell : cell.shown;
  return shown + ' '.repeat(width - text.length);
}

/** Cuts the middle out: beginning and end of a name tell more than one of them. */
export function shorten(text: string, width: number): string {
  if (text.length <= width) return text;
  const tail = Math.floor((width - 1) / 2);
  return `${text.slice(0, width - 1 - tail)}…${text.slice(text.length - tail)}`;
}
