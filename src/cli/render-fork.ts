/** Two histories of one resource, for people. */
import type {ForkResult, ForkView} from '../control/api.js';
import type {ForkBranch, ForkDiff, ForkUndoResult} from '../control/fork-api.js';
import {formatBytes} from '../core/units.js';
import {renderTable} from './table.js';
import {wrapText} from './wrap-text.js';

/** Where the histories part, what each side has, and what to type next. */
export function renderFork({name, forked, position, sides, branches}: ForkView): string {
  const kept = renderBranches(name, branches);
  if (!forked) return [`${name}: one history, as far as this node knows`, ...kept].join('\n');
  const rows = sides.map((side) => [
    side.node,
    side.role,
    side.state,
    side.link === 'here' ? '(here)' : `link ${side.link}`,
    side.position ?? '-',
    formatOwn(side.ownBytes),
  ]);
  const same = position === null ? 'it is not known where' : `the same up to ${position}`;
  return [
    `${name}: forked, ${same}`,
    '',
    ...renderTable(['NODE', 'ROLE', 'STATE', 'LINK', 'END', 'OF ITS OWN'], rows),
    '',
    ...wrapText(
      'Decide whose writes count; look at the others first, all of it is still there. Then, on each ' +
        `node that gives way: mars fork resolve ${name} --keep NODE --dry-run, and --yes. What ` +
        `differs, and who wrote it when: mars fork diff ${name}.`,
    ),
    ...kept,
  ].join('\n');
}

/** Branches that gave way on this node, and what can be done with each. */
function renderBranches(name: string, branches: readonly ForkBranch[]): string[] {
  return branches.flatMap((each) => {
    const {branch, directory, keptAt, keep, bytes, image, noImage, undoable} = each;
    const since = keptAt === null ? '' : ` since ${keptAt}`;
    const why = keep === null ? '' : `, when ${keep} was kept`;
    return [
      '',
      `kept${since}${why}: branch ${branch}, ${formatBytes(bytes)}`,
      `  logfiles  ${directory}`,
      `  image     ${image ?? `none: ${noImage ?? 'unknown'}`}`,
      `  next      ${undoable ? `mars fork undo ${name} --branch ${branch}, or ` : ''}mars fork forget ${name} --branch ${branch}`,
    ];
  });
}

/** What was given up, or would be. */
export function renderForkResult(result: ForkResult): string {
  const {name, dryRun, keep, position, lostBytes} = result;
  if (position === null && lostBytes === 0) {
    return `${name} has one history here and on ${keep}: nothing to resolve`;
  }

  const verb = dryRun ? 'would follow' : 'follows';
  const own = lostBytes === null ? 'all that this node has' : `${formatBytes(lostBytes)} of log`;
  const behind = position === null ? '' : ` behind ${position}`;
  const lost = dryRun ? 'would be given up' : 'is given up';
  const next = dryRun ? `next: the same with --yes` : `next: mars wait ${name} synced`;
  const {lost: loss, repair, branch, noImage} = result;
  const times = loss.firstTime === null ? '' : `, from ${loss.firstTime} to ${loss.lastTime ?? ''}`;
  const changed = `${loss.records} records that changed ${formatBytes(loss.changedBytes)} of the disk`;
  const partly = loss.complete ? '' : ' at least: its log is damaged';
  const how = {
    cut: 'the image here holds nothing of it: only log is cut',
    blocks: `the image here holds some of it: what it changed is fetched from ${keep}; until then it stays as it is`,
    compare: `the image here holds some of it, its log does not tell what: it is compared with that of ${keep}, and InConsistent until that is done`,
  }[repair];
  const undo =
    noImage === null
      ? `image and log are kept${branch === null ? '' : ` as ${branch}`}: mars fork undo ${name} brings them back`
      : `its logfiles are kept, but no image, so that there is no undo: ${noImage}`;
  return [
    `${name}: ${verb} ${keep}; ${own}${behind} ${lost}`,
    `  ${changed}${times}${partly}`,
    `  ${how}`,
    `  ${undo}`,
    next,
  ].join('\n');
}

/** What each side wrote, and how much of the disk that is. */
export function renderForkDiff(diff: ForkDiff, withRanges: boolean): string {
  const {name, forked, position, sides, differingBytes, ranges, rangeCount} = diff;
  if (!forked) return `${name}: one history, as far as this node knows`;
  const rows = sides.map((side) => [
    side.node,
    side.records === null ? '-' : String(side.records),
    side.writtenBytes === null ? '-' : formatBytes(side.writtenBytes),
    side.changedBytes === null ? '-' : formatBytes(side.changedBytes),
    side.firstTime ?? '-',
    side.lastTime ?? '-',
  ]);
  const notes = sides.flatMap(({node, error, complete, exact}) => {
    if (error !== null) return [`${node}: not known: ${error}`];
    const partly = complete ? [] : [`${node}: at least; a part of its log is damaged or not kept`];
    return exact ? partly : [...partly, `${node}: so many ranges that they were widened`];
  });
  const differing =
    differingBytes === null
      ? 'what differs is not known'
      : `at most ${formatBytes(differingBytes)} in ${rangeCount} ranges differ`;
  return [
    `${name}: the same up to ${position ?? 'an unknown position'}; ${differing}`,
    '',
    ...renderTable(['NODE', 'RECORDS', 'WRITTEN', 'OF THE DISK', 'FROM', 'TO'], rows),
    ...notes,
    ...(withRanges ? ['', ...renderRanges(ranges)] : []),
  ].join('\n');
}

function renderRanges(ranges: ForkDiff['ranges']): string[] {
  const rows = ranges.map(({offset, length, by}) => [
    String(offset),
    String(length),
    by.join(' and '),
  ]);
  return renderTable(['OFFSET', 'BYTES', 'WRITTEN BY'], rows);
}

/** What was brought back, or would be. */
export function renderForkUndo({
  name,
  dryRun,
  branch,
  position,
  end,
  other,
}: ForkUndoResult): string {
  const verb = dryRun ? 'would be brought back' : 'is brought back';
  const behind = `what ${other} has behind ${position} ${dryRun ? 'would not be' : 'is not'} followed here any more`;
  const next = dryRun
    ? 'next: the same with --yes'
    : `next: mars fork show ${name}; to have ${other} give way, type there: mars fork resolve ${name} --keep THIS_NODE`;
  return [`${name}: branch ${branch} ${verb}, up to ${end}; ${behind}`, next].join('\n');
}

function formatOwn(ownBytes: number | null): string {
  return ownBytes === null ? 'unknown' : formatBytes(ownBytes);
}
