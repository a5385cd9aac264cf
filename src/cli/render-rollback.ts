/** What a rollback did, or would do, for people. */
import type {HistoryAbortResult, HistoryRollbackResult} from '../control/history-api.js';
import {formatBytes} from '../core/units.js';
import {formatTime} from './times.js';

/** What was taken back, and what to type next. */
export function renderRollback(result: HistoryRollbackResult): string {
  const {name, asked, position, time, records, dryRun, undo} = result;
  const at = `${asked}: position ${position}, last write ${time === null ? '-' : formatTime(time)}`;
  if (records === 0) return `${name} is what it was at ${at}: nothing was written since`;
  return [
    `${name} ${dryRun ? 'would be' : 'is'} again what it was at ${at}`,
    ...lossLines(result),
    ...(dryRun ? roomLines(result) : []),
    ...(undo === null ? [] : [`  undo      mars history rollback ${name} --to ${undo}`]),
  ].join('\n');
}

function lossLines({
  records,
  changedBytes,
  firstChange,
  lastChange,
  dryRun,
}: HistoryRollbackResult): string[] {
  const verb = dryRun ? 'lost' : 'taken back';
  const from = firstChange === null ? '-' : formatTime(firstChange);
  const to = lastChange === null ? '-' : formatTime(lastChange);
  return [
    `  ${verb.padEnd(9)} ${records} writes to ${formatBytes(changedBytes)} of the disk, ${from} to ${to}`,
  ];
}

function roomLines({
  name,
  asked,
  neededBytes,
  availableBytes,
  users,
  isKept,
}: HistoryRollbackResult): string[] {
  const enough = neededBytes <= availableBytes ? '' : ': not enough (ROLLBACK_ROOM)';
  return [
    `  log room  needs up to ${formatBytes(neededBytes)}, has ${formatBytes(availableBytes)}${enough}`,
    ...users.map((user) => `  in use    ${user}: has to end first`),
    ...(isKept
      ? []
      : ['  no undo   without a history (history=TIME) nothing keeps what is taken back']),
    `  next      mars history rollback ${name} --to ${quoted(asked)}${isKept ? '' : ' --yes'}`,
  ];
}

function quoted(text: string): string {
  return /^[\w:.-]+$/u.test(text) ? text : `"${text}"`;
}

/** How an abort ended, and what to type next. */
export function renderAbort({name, outcome, position}: HistoryAbortResult): string {
  switch (outcome) {
    case 'none':
      return `${name}: no rollback is under way; mars history list ${name} names the moment before one that has ended`;
    case 'undone':
      return `${name} is what it was before the rollback (position ${position ?? ''})`;
    case 'left':
      return `${name} is left as it is, a mixture: check the file system before anything is written`;
  }
}
