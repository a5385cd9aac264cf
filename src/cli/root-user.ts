import {DiskError} from '../core/errors.js';

/** @throws DiskError NOT_ROOT with the command to type instead */
export function requireRoot(command: string, userId = process.geteuid?.()): void {
  if (userId === 0 || userId === undefined) return;
  throw new DiskError('NOT_ROOT', `mars ${command} needs root, not user ${userId}: sudo mars ...`, {
    userId,
  });
}
