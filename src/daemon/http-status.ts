/** The HTTP status of an error, on the control socket and for peers. */
import {CODES, type ErrorCode} from '../core/codes.js';

const STATUS_OF_EXIT = {
  done: 500,
  bug: 500,
  usage: 400,
  refused: 409,
  unreachable: 502,
  timeout: 504,
  damage: 500,
} as const;

/** Clients go by the code in the body; the status is for those who look at nothing else. */
export function httpStatusOf(code: ErrorCode): number {
  return STATUS_OF_EXIT[CODES[code].exit];
}
