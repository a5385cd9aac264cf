/** `mars explain`: every code and every word of the status, with what to do. */
import {CODES, EXIT, type CodeEntry, type ErrorCode} from '../core/codes.js';
import {DiskError} from '../core/errors.js';
import {EVENT_CODES, type EventCode} from '../core/events.js';
import {findState, STATE_NAMES, type StateEntry} from '../core/states.js';
import {nearMatches} from './near-matches.js';
import {wrapText} from './wrap-text.js';

export interface Explanation {
  readonly schema: 1;
  readonly word: string;
  readonly kind: 'error' | 'event' | StateEntry['kind'];
  readonly meaning: string;
  /** null for an event, which asks for nothing. */
  readonly remedy: string | null;
  /** Exit status of a command that ends with this error; null for all others. */
  readonly exit: number | null;
}

const ERROR_WORDS = Object.keys(CODES) as ErrorCode[];
const EVENT_WORDS = Object.keys(EVENT_CODES) as EventCode[];

export const EXPLAINED_WORDS: readonly string[] = [...ERROR_WORDS, ...EVENT_WORDS, ...STATE_NAMES];

/**
 * Looks a word up; case does not matter.
 *
 * @throws DiskError USAGE with the words that were probably meant
 */
export function explainWord(word: string): Explanation {
  const wanted = word.toLowerCase();
  const error = ERROR_WORDS.find((code) => code.toLowerCase() === wanted);
  if (error !== undefined) {
    const {meaning, remedy, exit}: CodeEntry = CODES[error];
    return {schema: 1, word: error, kind: 'error', meaning, remedy, exit: EXIT[exit]};
  }

  const event = EVENT_WORDS.find((code) => code.toLowerCase() === wanted);
  if (event !== undefined) {
    const meaning = EVENT_CODES[event];
    return {schema: 1, word: event, kind: 'event', meaning, remedy: null, exit: null};
  }

  const state = STATE_NAMES.find((name) => name.toLowerCase() === wanted);
  const entry = state === undefined ? undefined : findState(state);
  if (state !== undefined && entry !== undefined) {
    const {kind, meaning, action} = entry;
    return {schema: 1, word: state, kind, meaning, remedy: action, exit: null};
  }

  const near = nearMatches(word, EXPLAINED_WORDS);
  const hint = near.length > 0 ? `did you mean ${near.join(', ')}?` : 'mars explain lists them all';
  throw new DiskError('USAGE', `'${word}' is no code and no state: ${hint}`);
}

/** The entry for people: 80 columns. */
export function renderExplanation({word, kind, meaning, remedy, exit}: Explanation): string {
  const status = exit === null ? '' : `, exit status ${exit}`;
  const lines = [`${word} (${kind}${status})`, ...wrapText(meaning)];
  if (remedy !== null) lines.push(...wrapText(`What to do: ${remedy}`));
  return lines.join('\n');
}
