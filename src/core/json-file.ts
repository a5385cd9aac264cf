import fs from 'node:fs';
import {DiskError, errnoOf, storeError} from './errors.js';
import {createNodeFiles, type Files} from './files.js';
import {HOME_SCHEMA} from './home.js';
import {replaceFile} from './replace-file.js';

const nodeFiles = createNodeFiles();

/**
 * Writes a state file so that a crash leaves the old or the new one (replace-file.ts).
 *
 * @throws DiskError STORE_FULL, STORE_READ_ONLY or STORE_IO; the old file is then untouched
 */
export function writeJsonFile(path: string, value: unknown, files: Files = nodeFiles): void {
  try {
    replaceFile(files, path, Buffer.from(`${JSON.stringify(value, null, 2)}\n`));
  } catch (error) {
    const temporary = `${path}.tmp`;
    try {
      if (files.exists(temporary)) files.unlink(temporary);
    } catch {
      // Such as a directory of that name: why the file was not written says more.
    }

    throw storeError(error, `write ${path}`);
  }
}

/**
 * Reads a state file and checks its `schema`.
 *
 * @param check throws an Error whose message names the fault, or returns the typed value
 * @returns undefined where the file does not exist
 * @throws DiskError STATE_UNREADABLE with file and fault; HOME_NEWER for a larger schema
 */
export function readJsonFile<T>(path: string, check: (value: unknown) => T): T | undefined {
  let text: string;
  try {
    text = fs.readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw storeError(error, `read ${path}`);
  }

  try {
    const value: unknown = JSON.parse(text);
    const schema = isObject(value) ? value['schema'] : undefined;
    if (typeof schema === 'number' && schema > HOME_SCHEMA) {
      throw new DiskError(
        'HOME_NEWER',
        `${path} has schema ${schema}, this version knows ${HOME_SCHEMA}: install the newer mars`,
        {file: path, schema},
      );
    }

    if (schema !== HOME_SCHEMA) throw new Error(`"schema" is not ${HOME_SCHEMA}`);
    return check(value);
  } catch (error) {
    if (error instanceof DiskError) throw error;
    const fault = faultOf(error, text);
    throw new DiskError('STATE_UNREADABLE', `${path} is not valid: ${fault}`, {file: path, fault});
  }
}

/** The words of an error; V8 counts characters from the start, people count lines. */
function faultOf(error: unknown, text: string): string {
  const words = error instanceof Error ? error.message : String(error);
  const position = /at position (\d+)/u.exec(words)?.[1];
  if (position === undefined) return words;
  const line = text.slice(0, Number(position)).split('\n').length;
  return `${words} (line ${line})`;
}

/** true for a JSON object: no array, no null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
