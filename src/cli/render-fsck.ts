/** What `mars log verify --fsck` found, for people. */
import type {FsckCheck, FsckReport} from './fsck.js';
import {wrapText} from './wrap-text.js';

const SHOWN_MAX = 10;

/** @param report null: the log itself is damaged, so that no state of the disk can be made from it */
export function renderFsck(name: string, report: FsckReport | null): string {
  if (report === null) return `${name}: the file system was not checked, as the log is damaged`;
  const {checks, earliest, end, flushes, overtaken} = report;
  const count = (verdict: FsckCheck['verdict']): number =>
    checks.filter((check) => check.verdict === verdict).length;
  const broken = checks.filter(({verdict}) => verdict === 'broken');
  const range = `${earliest} to ${end}, ${flushes} flushes`;
  const lines = [
    broken.length === 0
      ? `${name}: no broken file system at ${checks.length} positions, ${range}`
      : `${name}: the file system is BROKEN at ${broken.length} of ${checks.length} positions, ${range}`,
  ];
  const types = [...new Set(checks.map(({type}) => type ?? 'nothing'))].join(', ');
  lines.push(`  found: ${types}; clean at ${count('clean')}`);
  const notChecked = count('none') + count('other');
  if (notChecked > 0) {
    lines.push(`  at ${notChecked} there is no ext3, ext4 or xfs: not checked`);
  }

  if (overtaken > 0) {
    const text =
      `  ${overtaken} positions were passed over, as the image was written beyond them meanwhile: ` +
      `mars replay pause ${name} keeps it where it is`;
    lines.push(...wrapText(text, {hanging: '    '}));
  }

  for (const {position, type, detail} of broken.slice(0, SHOWN_MAX)) {
    lines.push(`  at ${position}, ${type ?? 'unknown'}:`);
    for (const line of (detail ?? '').split('\n')) lines.push(`    ${line}`);
  }

  if (broken.length > SHOWN_MAX) lines.push(`  and ${broken.length - SHOWN_MAX} more: --json`);
  if (broken.length > 0) lines.push('  more: mars explain FILE_SYSTEM_BROKEN');
  return lines.join('\n');
}
