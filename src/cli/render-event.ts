import type {EventLine} from '../core/disk-status.js';
import type {Paint} from './paint.js';
import {formatTime} from './times.js';

const COLOUR = {info: 'dim', warning: 'yellow', critical: 'red'} as const;

/** One event on one line: time, severity, resource, code, text. */
export function renderEvent(event: EventLine, paint: Paint): string {
  const severity = paint(COLOUR[event.severity], event.severity.padEnd(8));
  const resource = event.resource ?? '-';
  return `${formatTime(event.time)} ${severity} ${resource} ${event.code} ${event.text}`;
}
