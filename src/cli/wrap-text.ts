/** Width that everything for people fits, whatever the terminal. */
export const WIDTH = 80;

export interface WrapOptions {
  /** Put before every line but the first. */
  readonly hanging?: string;
  readonly width?: number;
}

/**
 * Breaks text at spaces so that lines have at most `width` columns; a longer word (a path) keeps a
 * line of its own, so that it can be copied. Line breaks in `text` stay.
 */
export function wrapText(text: string, {hanging = '', width = WIDTH}: WrapOptions = {}): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = lines.length === 0 ? '' : hanging;
    let empty = true;
    for (const word of paragraph.trimEnd().split(' ')) {
      if (!empty && line.length + 1 + word.length > width) {
        lines.push(line);
        line = hanging;
        empty = true;
      }

      line = empty ? line + word : `${line} ${word}`;
      empty = false;
    }

    lines.push(line);
  }

  return lines;
}
