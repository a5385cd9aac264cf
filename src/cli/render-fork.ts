/** Two histories of one resource, for people. */
import type {ForkResult, ForkView} from '../control/api.js';
import {formatBytes} from '../core/units.js';
import {renderTable} from './table.js';
import {wrapText} from './wrap-text.js';

/** Where the histories part, what each side has, and what to type next. */
export function renderFork({name, forked, position, sides}: ForkView): string {
  if (!forked) return `${name}: one history, as far as this node knows`;
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
        `node that gives way: mars fork resolve ${name} --keep NODE --dry-run, and --yes.`,
    ),
  ].join('\n');
}

/** What was given up, or would be. */
export function renderForkResult(result: ForkResult): string {
  const {name, dryRun, keep, position, lostBytes} = result;
  const verb = dryRun ? 'would follow' : 'follows';
  const own = lostBytes === null ? 'all that this node has' : `${formatBytes(lostBytes)} of log`;
  const behind = position === null ? '' : ` behind ${position}`;
  const lost = dryRun ? 'would be given up' : 'is given up';
  const next = dryRun ? `next: the same with --yes` : `next: mars wait ${name} synced`;
  return [`${name}: ${verb} ${keep}; ${own}${behind} ${lost}`, next].join('\n');
}

function formatOwn(ownBytes: number | null): string {
  return ownBytes === null ? 'unknown' : formatBytes(ownBytes);
}
