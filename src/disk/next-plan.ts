/** What is to be fetched for a replica that is made (next-state.ts): it is noted once, by the daemon. */
import {DiskError, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import type {DiskConfig} from './config.js';
import {readSyncState} from './sync-state.js';

/** Why it is not known any more; undefined: it is. */
export function whyNoPlan(files: Files, {home, resource}: DiskConfig): string | undefined {
  const {nextHome} = resourcePaths(home, resource.name);
  try {
    if (readSyncState(files, nextHome, resource.name) !== undefined) return undefined;
    return `the list of what is to be fetched for ${resource.name} is missing`;
  } catch (error) {
    const known = storeError(error, 'read what is to be fetched');
    if (!(known instanceof DiskError)) throw error;
    return known.message;
  }
}
