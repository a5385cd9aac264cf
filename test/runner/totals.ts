import {withoutColour} from './child.js';

/** What uvu's output and our SKIP lines add up to. */
export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
  /** `file: title: reason` */
  readonly skips: string[];
}

export function emptyTotals(): Totals {
  return {passed: 0, failed: 0, skipped: 0, skips: []};
}

/**
 * Reads uvu's summary from `output`. A run that failed without a summary, or with more than the
 * summary says, counts as one failure: a crash, a time limit, an early exit.
 *
 * @param status exit status of uvu; null where it was killed
 */
export function totalsOf(output: string, status: number | null, label: string): Totals {
  const plain = withoutColour(output);
  const total = lastNumber(plain, /^ {2}Total: +(\d+)$/gmu);
  const passed = lastNumber(plain, /^ {2}Passed: +(\d+)$/gmu);
  const ownSkips = lastNumber(plain, /^ {2}Skipped: +(\d+)$/gmu);
  const skips = [...plain.matchAll(/SKIP (.+)$/gmu)].map((match) => `${label}: ${match[1] ?? ''}`);
  if (ownSkips > 0) skips.push(`${label}: ${ownSkips} by test.skip or test.only`);

  let failed = total - passed;
  if (status !== 0 && failed === 0) failed = 1;
  if (total === 0 && status === 0) failed = 1; // A file without test.run() passes in silence.
  const ownSkipLines = ownSkips > 0 ? 1 : 0;
  const skippedInside = skips.length - ownSkipLines;
  return {
    passed: Math.max(0, passed - skippedInside),
    failed,
    skipped: skippedInside + ownSkips,
    skips,
  };
}

/** What the helpers of the tests, and a command of mars itself, say when they waited in vain. */
const MISSED_DEADLINE =
  /no end within \d+ ms|after \d+ ms still|did not end within|\b(?:TIMEOUT|ETIMEDOUT)\b/u;

/**
 * Whether every failure in uvu's output is a wait that came to its end: on a machine that is busy with
 * other tests that need not mean anything. Anything else, such as a wrong byte, does.
 */
export function onlyMissedDeadlines(output: string): boolean {
  const failures = withoutColour(output)
    .split(/^ *FAIL {2}"/mu)
    .slice(1)
    // What follows a failure: its stack, and the next file's heading.
    .map((text) => text.split(/^\s+at /mu)[0] ?? '');
  return failures.length > 0 && failures.every((text) => MISSED_DEADLINE.test(text));
}

export function addTotals(sum: Totals, more: Totals): void {
  sum.passed += more.passed;
  sum.failed += more.failed;
  sum.skipped += more.skipped;
  sum.skips.push(...more.skips);
}

/** The closing line that scripts read. */
export function closingLine(totals: Totals): string {
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
  return `${totals.passed} passed, ${totals.failed} failed${skipped}`;
}

function lastNumber(text: string, pattern: RegExp): number {
  return Number([...text.matchAll(pattern)].at(-1)?.[1] ?? 0);
}

/** Arguments of uvu's own program. */
export function uvuArguments(directory: string, pattern: string): string[] {
  return ['--import', 'tsx', 'node_modules/uvu/bin.js', directory, pattern];
}
