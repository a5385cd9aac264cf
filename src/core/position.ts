import {assert} from './assert.js';

/** Digits of a position in JSON: fixed width, so that text order is number order. */
const POSITION_DIGITS = 16;

/** Formats a position (bytes from the start of the resource's record stream) as fixed-width hex. */
export function formatPosition(position: number): string {
  assert(Number.isSafeInteger(position), 'a position is a safe integer');
  assert(position >= 0, 'a position is not negative');
  return position.toString(16).padStart(POSITION_DIGITS, '0');
}

/** @returns the position, or undefined where `text` is not one */
export function parsePosition(text: string): number | undefined {
  if (!/^[0-9a-f]{1,16}$/u.test(text)) return undefined;
  const position = Number.parseInt(text, 16);
  return Number.isSafeInteger(position) ? position : undefined;
}
