/** What a comparison of replicas found, for people: 80 columns. */
import type {VerifyDocument, VerifyReport, VerifySummary} from '../control/verify-api.js';
import {isUnderWay} from '../control/verify-api.js';
import {formatBytes} from '../core/units.js';
import {formatSince} from './times.js';
import {wrapText} from './wrap-text.js';

/** Ranges that are shown; --json has more. */
const RANGES_SHOWN = 8;

export interface VerifyWish {
  readonly repair: boolean;
  readonly dryRun: boolean;
}

/** A line for each replica, its ranges, and what to type. */
export function renderVerify(
  {name, reference, replicas}: VerifyDocument,
  wish: VerifyWish,
): string {
  const lines = [`${name}: compared with ${reference ?? 'nobody'}`];
  if (replicas.length === 0) lines.push('  nothing was compared yet');
  for (const report of replicas) {
    lines.push(...wrapText(`  ${report.node}: ${describe(report)}`, {hanging: '    '}));
    lines.push(...renderRanges(report));
  }

  const differs = replicas.some(({differentBytes}) => differentBytes > 0);
  if (differs && wish.dryRun) {
    lines.push(`do: mars verify ${name} --repair --yes copies these from ${reference ?? '-'}`);
  } else if (differs && !wish.repair) {
    lines.push(
      ...wrapText(`do: mars explain VERIFY_DIFFERENT; mars verify ${name} --repair --dry-run`),
    );
  }

  return lines.join('\n');
}

function describe(report: VerifyReport): string {
  const {state, totalBytes, doneBytes, position, repairedBytes, error} = report;
  const at = position === null ? '' : `, at ${position}`;
  const repaired =
    repairedBytes === null ? '' : `; ${formatBytes(repairedBytes)} were copied to it`;
  const different = describeDifferent(report);
  if (state === 'equal') return `equal, ${formatBytes(totalBytes)}${at}${repaired}`;
  if (state === 'different') return `${different} of ${formatBytes(totalBytes)}${at}${repaired}`;
  const found = report.differentBytes === 0 ? '' : `; ${different}`;
  const done = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)} compared${found}`;
  if (isUnderWay(state)) return `${state}, ${done}`;
  const why = error === null ? '' : `: ${error.code}: ${error.message}`;
  return `${state}, ${done}${why}`;
}

function describeDifferent({differentBytes, rangeCount}: VerifyReport): string {
  const count = `${rangeCount} range${rangeCount === 1 ? '' : 's'}`;
  return `DIFFERENT in ${formatBytes(differentBytes)} (${count})`;
}

function renderRanges({ranges, rangeCount}: VerifyReport): string[] {
  const shown = ranges.slice(0, RANGES_SHOWN);
  const lines = shown.map(({offset, length}) => `    offset ${offset}, ${length} bytes`);
  const more = rangeCount - shown.length;
  return more > 0 ? [...lines, `    and ${more} more ranges: --json`] : lines;
}

/** `equal to alpha 2026-11-22 10:15:00Z (3 d)`: one line in other texts. */
export function describeVerified(verify: VerifySummary | null | undefined, nowMs: number): string {
  if (verify == null) return 'never compared';
  const {state, startedAt, verifiedAt, differentBytes, doneBytes, totalBytes} = verify;
  const ago = verifiedAt === null ? 'never to the end' : formatSince(verifiedAt, nowMs);
  const found = differentBytes === 0 ? 'equal to' : `${formatBytes(differentBytes)} DIFFER from`;
  if (isUnderWay(state)) {
    const percent = totalBytes === 0 ? 0 : Math.floor((doneBytes * 100) / totalBytes);
    return `${state} against ${verify.with}, ${percent} %; before: ${ago}`;
  }

  if (state === 'equal' || state === 'different') return `${found} ${verify.with}, ${ago}`;
  const begun = `${state} against ${verify.with}, ${formatSince(startedAt, nowMs)}`;
  return `${begun}${differentBytes === 0 ? '' : `, ${found} it`}; compared to the end: ${ago}`;
}
