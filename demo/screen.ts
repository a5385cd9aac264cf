/** What the demonstration shows: steps, commands, facts and one progress bar. */

const TTY = process.stdout.isTTY;
const BAR_CELLS = 28;
/** Between two lines of progress where nobody watches a terminal. */
const LINE_INTERVAL_MS = 4000;

const paint =
  (code: string) =>
  (text: string): string =>
    TTY && process.env['NO_COLOR'] === undefined ? `\u001b[${code}m${text}\u001b[0m` : text;
const bold = paint('1');
const dim = paint('2');
const green = paint('32');
const red = paint('31');
const cyan = paint('36');

let stepCount = 0;

export function title(text: string): void {
  process.stdout.write(`\n${bold(text)}\n`);
}

/** Begins a numbered step. */
export function step(text: string): void {
  stepCount += 1;
  process.stdout.write(`\n${bold(`${stepCount}. ${text}`)}\n`);
}

/** A command as the reader would type it. */
export function command(line: string): void {
  process.stdout.write(`   ${cyan(`$ ${line}`)}\n`);
}

export function fact(text: string): void {
  process.stdout.write(`   ${dim(text)}\n`);
}

export function good(text: string): void {
  process.stdout.write(`   ${green('✔')} ${text}\n`);
}

export function bad(text: string): void {
  process.stdout.write(`   ${red('✘')} ${text}\n`);
}

export function plain(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A bar on a terminal, a line every few seconds elsewhere. */
export class ProgressBar {
  readonly #label: string;
  readonly totalBytes: number;
  readonly #startedMs = performance.now();
  #doneBytes = 0;
  #shownMs = 0;

  constructor(label: string, totalBytes: number) {
    this.#label = label;
    this.totalBytes = Math.max(1, totalBytes);
  }

  get part(): number {
    return this.#doneBytes / this.totalBytes;
  }

  add(bytes: number): void {
    this.set(this.#doneBytes + bytes);
  }

  /** @param doneBytes in all */
  set(doneBytes: number): void {
    this.#doneBytes = doneBytes;
    const nowMs = performance.now();
    if (nowMs - this.#shownMs < (TTY ? 80 : LINE_INTERVAL_MS)) return;
    this.#shownMs = nowMs;
    this.#show();
  }

  /** Clears the line, so that something else can be said; the next add() draws it again. */
  clear(): void {
    if (TTY) process.stdout.write('\r\u001b[2K');
  }

  finish(): void {
    this.#show();
    if (TTY) process.stdout.write('\n');
  }

  #show(): void {
    const seconds = Math.max(0.001, (performance.now() - this.#startedMs) / 1000);
    const rate = this.#doneBytes / seconds;
    const left = Math.ceil((this.totalBytes - this.#doneBytes) / Math.max(1, rate));
    const filled = Math.round(this.part * BAR_CELLS);
    const bar = '█'.repeat(filled) + dim('░'.repeat(BAR_CELLS - filled));
    const text = [
      `   ${this.#label}`,
      bar,
      `${Math.floor(this.part * 100)
        .toString()
        .padStart(3)} %`,
      `${mebibytes(this.#doneBytes)} of ${mebibytes(this.totalBytes)} MiB`,
      `${mebibytes(rate)} MiB/s`,
      this.part < 0.03 ? '' : left > 0 ? `${left} s left` : `${seconds.toFixed(1)} s`,
    ]
      .join('  ')
      .trimEnd();
    process.stdout.write(TTY ? `\r\u001b[2K${text}` : `${text}\n`);
  }
}

export function mebibytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(0);
}

/** Waits for work that must end in time. @throws Error where it does not */
export async function limited<T>(what: string, work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${what} did not end within ${timeoutMs / 1000} s`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
