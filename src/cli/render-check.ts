/** `mars check` on one line, as Nagios, Icinga and cron read it: verdict, reasons, `|`, numbers. */
import type {Health} from '../control/health.js';
import {renderValues, type PerformanceValue} from './check-values.js';
import type {FailureBody} from './failure.js';
import type {Judgement, Problem} from './judge-check.js';
import {HEALTH_EXIT} from './render-status.js';

/** Monitoring shows one line of a few hundred letters; `mars status` has the rest. */
const PROBLEMS_SHOWN = 4;
const TEXT_LETTERS_MAX = 160;

export interface CheckDocument {
  readonly schema: 1;
  /** null where no daemon answers. */
  readonly node: string | null;
  readonly status: 'OK' | 'WARNING' | 'CRITICAL' | 'UNKNOWN';
  readonly exit: number;
  readonly resources: number;
  readonly problems: readonly Problem[];
  readonly values: readonly PerformanceValue[];
  /** Why nothing could be judged. */
  readonly error?: FailureBody;
}

const WORDS: Readonly<Record<Health, CheckDocument['status']>> = {
  ok: 'OK',
  warning: 'WARNING',
  critical: 'CRITICAL',
  unknown: 'UNKNOWN',
};

/** The document of a judgement about `resources` resources. */
export function checkDocument(
  node: string,
  resources: number,
  {health, problems, values}: Judgement,
): CheckDocument {
  const verdict = {status: WORDS[health], exit: HEALTH_EXIT[health]};
  return {schema: 1, node, ...verdict, resources, problems, values};
}

/** The document where nothing could be judged. */
export function unknownDocument(error: FailureBody): CheckDocument {
  const verdict = {status: WORDS.unknown, exit: HEALTH_EXIT.unknown};
  return {schema: 1, node: null, ...verdict, resources: 0, problems: [], values: [], error};
}

/** One line, whatever the texts in it hold. */
export function renderCheck({status, resources, problems, values, error}: CheckDocument): string {
  const shown = problems.slice(0, PROBLEMS_SHOWN).map((problem) => renderProblem(problem));
  const more = problems.length - shown.length;
  if (more > 0) shown.push(`and ${more} more`);
  if (error !== undefined) shown.push(`${error.code}: ${plain(error.message)}`);
  if (shown.length === 0) shown.push(`${resources} resource${resources === 1 ? '' : 's'}`);
  const numbers = values.length === 0 ? '' : ` | ${renderValues(values)}`;
  return `MARS ${status} - ${shown.join('; ')}${numbers}`;
}

function renderProblem({resource, replica, text}: Problem): string {
  const where = replica === null ? '' : ` at ${replica}`;
  return `${resource}${where}: ${plain(text)}`;
}

/** `|` would begin the numbers, a line break a second line. */
function plain(text: string): string {
  const line = text.replaceAll('|', '/').replaceAll(/\s+/gu, ' ').trim();
  return line.length > TEXT_LETTERS_MAX ? `${line.slice(0, TEXT_LETTERS_MAX - 1)}…` : line;
}
