/** Long work: a bar with percent, rate and remaining on a terminal, a line now and then elsewhere. */
import {formatBytes} from '../core/units.js';
import {formatSeconds} from './times.js';

const LINE_INTERVAL_MS = 3_000;

export interface Progress {
  /** @param doneBytes in all, not since the last call */
  update(doneBytes: number): void;
  end(): void;
}

export interface ProgressOptions {
  readonly label: string;
  readonly totalBytes: number;
  /** What was done before: it does not count for the rate. Absent: 0. */
  readonly startBytes?: number;
  /** For people, where it is not bytes that are counted. */
  readonly format?: (amount: number) => string;
  readonly stream: NodeJS.WriteStream;
  readonly monotonicMs?: () => number;
}

/** Begins at `startBytes` of `totalBytes`; the caller ends it. */
export async function startProgress(options: ProgressOptions): Promise<Progress> {
  return options.stream.isTTY ? startBar(options) : startLines(options);
}

async function startBar({
  label,
  totalBytes,
  startBytes = 0,
  format = formatBytes,
  stream,
}: ProgressOptions): Promise<Progress> {
  // Loaded only where it is seen: every other command starts faster without.
  const {default: cliProgress} = await import('cli-progress');
  const bar = new cliProgress.SingleBar({
    stream,
    clearOnComplete: true,
    format: `${label} {bar} {percentage} % {rate}/s, {eta_formatted} left`,
    barsize: 24,
  });
  const startedMs = performance.now();
  bar.start(totalBytes, startBytes, {rate: '-'});
  return {
    update: (doneBytes) => {
      const seconds = (performance.now() - startedMs) / 1000;
      const rate = (doneBytes - startBytes) / Math.max(seconds, 0.001);
      bar.update(doneBytes, {rate: format(Math.max(0, Math.round(rate)))});
    },
    end: () => {
      bar.stop();
    },
  };
}

function startLines({
  label,
  totalBytes,
  startBytes = 0,
  format = formatBytes,
  stream,
  monotonicMs,
}: ProgressOptions): Progress {
  const now = monotonicMs ?? (() => performance.now());
  const startedMs = now();
  let lastMs = startedMs;
  return {
    update: (doneBytes) => {
      if (now() - lastMs < LINE_INTERVAL_MS) return;
      lastMs = now();
      const seconds = (now() - startedMs) / 1000;
      const rate = Math.max(0, (doneBytes - startBytes) / seconds);
      const left = rate > 0 ? formatSeconds((totalBytes - doneBytes) / rate) : '?';
      const percent = totalBytes === 0 ? 100 : Math.floor((doneBytes * 100) / totalBytes);
      const done = `${format(doneBytes)} of ${format(totalBytes)}`;
      const speed = `${format(Math.round(rate))}/s`;
      stream.write(`${label} ${percent} %: ${done}, ${speed}, ${left} left\n`);
    },
    end: () => undefined,
  };
}
