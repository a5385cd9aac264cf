/** What is lost with the end of a damaged log, for people. */
import type {CutResult, CutUndoResult} from '../control/cut-api.js';
import {formatBytes} from '../core/units.js';
import {wrapText} from './wrap-text.js';

/** Ranges of the disk that are shown; --json has all. */
const RANGES_SHOWN = 8;

/** What is lost, or would be, and what to type next. */
export function renderCut(result: CutResult): string {
  const {name, damaged, dryRun, position, end, kept, mixed} = result;
  if (!damaged) return `${name}: the log is in order, nothing to cut`;
  const verb = dryRun ? 'would be cut' : 'is cut';
  const place = position ?? '';
  const next = dryRun
    ? `next: mars log cut ${name} --at ${place} --yes${mixed ? ' --force' : ''}`
    : `next: mars primary ${name}, then check the file system on it`;
  return [
    `${name}: the log ${verb} at ${place}; it was durable, or has records, up to ${end ?? ''}`,
    ...lossLines(result),
    ...frontLines(result),
    ...mixtureLines(mixed),
    ...sizeLines(result),
    ...(kept === null ? [] : [`  kept in ${kept}: mars log cut ${name} --undo, while not primary`]),
    next,
  ].join('\n');
}

function lossLines({lost, end, position, dryRun}: CutResult): string[] {
  if (end === position) return ['  nothing that is not in the image is lost'];
  const {bytes, records, unreadableBytes, changedBytes, firstTime, lastTime, ranges} = lost;
  const verb = dryRun ? 'would be lost' : 'are lost';
  const times = firstTime === null ? '' : `, written from ${firstTime} to ${lastTime ?? ''}`;
  const more = ranges.length - RANGES_SHOWN;
  return [
    `  ${formatBytes(bytes)} of log ${verb}: ${records} records that can be told${times}`,
    ...(unreadableBytes === 0
      ? []
      : [`  in ${formatBytes(unreadableBytes)} of that no record can be told: perhaps more`]),
    `  they are about ${formatBytes(changedBytes)} of the disk`,
    ...ranges
      .slice(0, RANGES_SHOWN)
      .map(({offset, length}) => `    ${formatBytes(length)} at byte ${offset}`),
    ...(more > 0 ? [`    and ${more} more places: --json has them`] : []),
  ];
}

function frontLines({begin, anew}: CutResult): string[] {
  if (anew) {
    return wrapText(
      'The log begins anew there, without a history: all that is left is the image, and every replica of ' +
        'it has to be copied again.',
    ).map((line) => `  ${line}`);
  }

  return begin === null ? [] : [`  log in front of ${begin} is given up: the image has all of it`];
}

function mixtureLines(mixed: boolean): string[] {
  if (!mixed) return [];
  return wrapText(
    'The image holds some blocks of what is lost: no state that the disk ever had. It wants --force, and a ' +
      'check of the file system before anything is written.',
  ).map((line) => `  ${line}`);
}

function sizeLines({sizeBytes, name}: CutResult): string[] {
  if (sizeBytes === null || sizeBytes.before === sizeBytes.after) return [];
  const {before, after} = sizeBytes;
  return [
    `  the disk is ${formatBytes(after)} there, not ${formatBytes(before)}: mars resource resize ${name} ${before}`,
  ];
}

/** What is put back, or would be. */
export function renderCutUndo({name, dryRun, position, files}: CutUndoResult): string {
  const verb = dryRun ? 'would be put back' : 'are put back';
  const next = dryRun
    ? `next: mars log cut ${name} --undo --yes`
    : `next: mars log verify ${name} shows what is damaged`;
  return [`${name}: ${files.length} logfiles ${verb}, damaged at ${position} as before`, next].join(
    '\n',
  );
}
