/** What housekeeping did, or would do, for people. */
import type {CareResult, PrunedFile, PruneResult} from '../control/care-api.js';
import {formatBytes} from '../core/units.js';
import {wrapText} from './wrap-text.js';

/** A line for each file with the reason below it, then the sums. */
export function renderPrune(result: PruneResult): string {
  const lines = result.files.flatMap((file) => renderFile(file, result.dryRun));
  return [...lines, renderSums(result)].join('\n');
}

function renderFile({file, bytes, action, reason}: PrunedFile, dryRun: boolean): string[] {
  const done = {keep: 'kept', spare: 'reused', delete: 'deleted'}[action];
  const wish = {keep: 'keep', spare: 'reuse', delete: 'delete'}[action];
  const head = `${(dryRun ? wish : done).padEnd(8)}${file}  ${formatBytes(bytes)}`;
  return [head, ...wrapText(`        ${reason}`, {hanging: '        '})];
}

function renderSums({name, dryRun, files, deletedBytes, freeBytes}: PruneResult): string {
  const keptBytes = files
    .filter(({kind, action}) => action === 'keep' && kind !== 'spare')
    .reduce((sum, {bytes}) => sum + bytes, 0);
  const would = dryRun ? 'would be ' : '';
  return (
    `${name}: ${formatBytes(deletedBytes)} ${would}given back to the file system, ` +
    `${formatBytes(freeBytes)} free for the log, ${formatBytes(keptBytes)} needed`
  );
}

/** A line for each thing that was done: nothing where there was nothing to do, as cron mails it. */
export function renderCare({by, dryRun, resources, removed}: CareResult): string[] {
  if (by === 'none') return ['a daemon or another mars cron is at work: nothing was done'];
  const lines = resources.flatMap(({name, rotatedTo, prune}) => [
    ...(rotatedTo === null
      ? []
      : [`${name}: the log ${dryRun ? 'would go' : 'goes'} on in ${rotatedTo}`]),
    ...(prune === null || prune.deletedBytes === 0 ? [] : [renderSums(prune)]),
  ]);
  const word = dryRun ? 'would remove' : 'removed';
  return [...lines, ...removed.map(({path, bytes}) => `${word} ${path} (${formatBytes(bytes)})`)];
}
