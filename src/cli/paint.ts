/** Colours, only where a person looks: on a terminal, and not under NO_COLOR (no-color.org). */
import {styleText} from 'node:util';

export type Paint = (colour: 'red' | 'yellow' | 'green' | 'bold' | 'dim', text: string) => string;

export const plainPaint: Paint = (_colour, text) => text;

const terminalPaint: Paint = (colour, text) => styleText(colour, text);

/** @param stream where the text goes */
export function choosePaint(
  stream: {readonly isTTY?: boolean},
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Paint {
  const refused = (environment['NO_COLOR'] ?? '') !== '' || environment['TERM'] === 'dumb';
  return stream.isTTY === true && !refused ? terminalPaint : plainPaint;
}
