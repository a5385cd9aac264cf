import {DiskError} from './errors.js';

/** Longest name of a resource or node: it becomes part of file names and of socket paths. */
export const NAME_LENGTH_MAX = 63;

const RESERVED = new Set(['all', 'none', 'self', 'local']);
const PATTERN = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/u;

/** Full name of a systemd unit that can be started and stopped: systemd.unit(5). */
export const UNIT_PATTERN =
  /^[\w][\w@.:\\-]{0,200}\.(?:service|target|mount|automount|socket|path|timer|scope|slice)$/u;

/**
 * Checks the name of a resource or node.
 *
 * @throws DiskError NAME_INVALID with the rule that was broken
 */
export function checkName(kind: 'resource' | 'node', name: string): string {
  const problem = nameProblem(name);
  if (problem !== undefined) {
    throw new DiskError('NAME_INVALID', `'${name}' cannot name a ${kind}: ${problem}`, {
      kind,
      name,
    });
  }

  return name;
}

function nameProblem(name: string): string | undefined {
  if (name.length === 0) return 'it is empty';
  if (name.length > NAME_LENGTH_MAX) return `it has more than ${NAME_LENGTH_MAX} characters`;
  if (RESERVED.has(name)) return 'the word is reserved';
  if (!PATTERN.test(name))
    return 'use letters, digits, _ . and -, and begin with a letter or digit';
  // It becomes the end of file names, where these say what kind of file it is.
  if (/\.(?:idx|tmp)$/u.test(name)) return 'it ends in .idx or .tmp';
  return undefined;
}
