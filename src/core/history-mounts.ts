/**
 * Moments that are mounted: `resources/NAME/history/ID.json`, written by the daemon before anything is
 * served. Each holds log and replay: nothing at or above `base` is used again, nothing at or above
 * `position` goes to the image. That outlives every process.
 *
 * Who has to let go of one (room, a history that is cut, another image) renames the file to `ID.lost`
 * first, and only then changes what it stood on. Who serves the moment looks for the file after each read:
 * what was read before it was gone is right, all else is answered with EIO.
 */
import {join} from 'node:path';
import {errnoOf} from './errors.js';
import type {Files} from './files.js';
import {isObject} from './json-file.js';
import {parsePosition} from './position.js';

/** A moment that is mounted, or is about to be. */
export interface HistoryMount {
  readonly schema: 1;
  /** Part of paths: letters, digits, _ . - : */
  readonly id: string;
  /** What was asked for, in words. */
  readonly asked: string;
  /** The disk is as of here, 16 hex digits. */
  readonly position: string;
  /** Chain value there. */
  readonly chain: string;
  /** The log is needed from here on. */
  readonly base: string;
  /** Of the newest record below `position`, milliseconds since 1970; null: not known. */
  readonly timeMs: number | null;
  readonly sizeBytes: number;
  readonly writable: boolean;
  /** What is written to the clone may take so much. */
  readonly overlayBytesMax: number;
  readonly mountPoint: string;
  /** RFC 3339. */
  readonly mountedAt: string;
}

export interface FoundMount {
  readonly mount: HistoryMount;
  /** What it stood on is gone: it answers EIO. */
  readonly isLost: boolean;
}

const FILE = /^(.+)\.(json|lost)$/u;
const TEXTS = ['id', 'asked', 'position', 'chain', 'base', 'mountPoint', 'mountedAt'] as const;

/** Path of what belongs to a mounted moment: `json`, `lost`, `lock`, `log`, `fuse`, `overlay`, `map`. */
export function historyPath(directory: string, id: string, suffix: string): string {
  return join(directory, `${id}.${suffix}`);
}

/** All moments of a resource that are mounted or lost, by id. One whose file cannot be read is lost. */
export function readHistoryMounts(files: Files, directory: string): FoundMount[] {
  if (!files.exists(directory)) return [];
  const found: FoundMount[] = [];
  for (const name of files.list(directory)) {
    const [, id, suffix] = FILE.exec(name) ?? [];
    if (id === undefined || suffix === undefined) continue;
    const path = join(directory, name);
    const mount = readMount(files, path);
    if (mount === undefined && suffix === 'json') {
      files.rename(path, historyPath(directory, id, 'lost'));
    }

    found.push({
      mount: mount ?? unknownMount(id),
      isLost: suffix === 'lost' || mount === undefined,
    });
  }

  return found;
}

/**
 * Lets go of the moments that stand on anything behind a position: what they stood on may be changed when
 * this returns.
 *
 * @param position 0: of all of them
 * @returns those that were let go
 * @throws the error of the file system: then nothing may be changed
 */
export function loseHistoryMounts(
  files: Files,
  directory: string,
  position: number,
): HistoryMount[] {
  const lost = readHistoryMounts(files, directory)
    .filter(({mount, isLost}) => !isLost && positionOf(mount.position) > position)
    .map(({mount}) => mount);
  for (const {id} of lost) loseHistoryMount(files, directory, id);
  return lost;
}

/** Lets go of one moment. A rename: that needs no room. */
export function loseHistoryMount(files: Files, directory: string, id: string): void {
  files.rename(historyPath(directory, id, 'json'), historyPath(directory, id, 'lost'));
}

/** A position in one of these files as a number. */
export function positionOf(text: string): number {
  return parsePosition(text) ?? 0;
}

function readMount(files: Files, path: string): HistoryMount | undefined {
  let text: string;
  try {
    const fd = files.open(path, 'read');
    try {
      const bytes = Buffer.alloc(files.sizeOf(fd));
      text = bytes.toString('utf8', 0, files.read(fd, bytes, 0, bytes.length, 0));
    } finally {
      files.close(fd);
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }

  try {
    const value: unknown = JSON.parse(text);
    return isMount(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isMount(value: unknown): value is HistoryMount {
  if (!isObject(value) || value['schema'] !== 1) return false;
  if (TEXTS.some((key) => typeof value[key] !== 'string')) return false;
  const {position, base, sizeBytes, writable} = value;
  const arePositions = [position, base].every((text) => parsePosition(String(text)) !== undefined);
  return arePositions && Number.isSafeInteger(sizeBytes) && typeof writable === 'boolean';
}

function unknownMount(id: string): HistoryMount {
  const nowhere = '0'.repeat(16);
  return {
    ...{schema: 1, id, asked: '?', position: nowhere, chain: nowhere, base: nowhere},
    ...{timeMs: null, sizeBytes: 0, writable: false, overlayBytesMax: 0},
    ...{mountPoint: '', mountedAt: ''},
  };
}
