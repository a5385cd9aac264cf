/** Labels of MARK records: the payload is the label in ASCII, filled up with zeros to a multiple of 8 bytes. */

/** Longest label in bytes. */
export const LABEL_CHARS_MAX = 63;

export const LABEL_RULE = `1 to ${LABEL_CHARS_MAX} letters, digits, _ . : or -, beginning with a letter`;

const LABEL = /^[a-zA-Z][a-zA-Z0-9_.:-]*$/u;

/** Whether a text can name a moment. A position or a time of day can not: it begins with a digit, or is hex. */
export function isLabel(text: string): boolean {
  if (text.length > LABEL_CHARS_MAX || !LABEL.test(text)) return false;
  return !/^[0-9a-f]{16}$/u.test(text) && text !== 'now';
}

/** The payload of a MARK record. */
export function encodeLabel(label: string): Buffer {
  const bytes = Buffer.alloc(Math.ceil((label.length + 1) / 8) * 8);
  bytes.write(label, 'latin1');
  return bytes;
}

/** The label in a payload; '' where there is none that can be one. */
export function decodeLabel(bytes: Buffer, offset: number, length: number): string {
  const text = bytes.toString('latin1', offset, offset + length);
  const label = text.slice(0, text.indexOf('\0'));
  return LABEL.test(label) && label.length <= LABEL_CHARS_MAX ? label : '';
}
