/**
 * The two documents of a folder with exported logfiles (docs/FILES.md): `export.json` says of which
 * resource it is and how far it goes, `base-POSITION.json` describes an image that a log can go on
 * from. Neither is believed further than it has to be: records prove themselves by their chain, and
 * chunks of an image by their digests.
 */
import {join} from 'node:path';
import * as v from 'valibot';
import {check} from '../core/check.js';
import {DiskError} from '../core/errors.js';
import {HOME_SCHEMA} from '../core/home.js';
import {readJsonFile} from '../core/json-file.js';
import {checkName} from '../core/names.js';
import {chainSchema, idSchema, lineageSchema, positionSchema} from '../log/lineage.js';

export const EXPORT_FILE = 'export.json';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const EXPORT = v.object({
  schema: v.literal(HOME_SCHEMA),
  resourceId: idSchema,
  name: v.string(),
  /** Node that exported last. */
  node: v.string(),
  sizeBytes: count,
  createdAt: v.string(),
  segmentBytes: count,
  alignmentBytes: v.picklist([8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]),
  lineage: lineageSchema,
  /** End of the exported log, and when it was the end of what was durable; RFC 3339. */
  end: positionSchema,
  /** Chain value there. */
  chain: chainSchema,
  at: v.string(),
});

const BASE = v.object({
  schema: v.literal(HOME_SCHEMA),
  resourceId: idSchema,
  sizeBytes: count,
  chunkBytes: count,
  /** The image is a mixture of [begin, end]: the log between them makes it a state of the disk. */
  begin: positionSchema,
  chain: chainSchema,
  end: positionSchema,
  endChain: v.nullable(chainSchema),
  lineage: lineageSchema,
  /** SHA-256 of the file with the digests of the chunks. */
  digestsSha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/u, 'not 64 hex digits')),
});

export type ExportFile = v.InferOutput<typeof EXPORT>;
export type BaseFile = v.InferOutput<typeof BASE>;

/**
 * @returns undefined where the folder has none (yet)
 * @throws DiskError STATE_UNREADABLE, HOME_NEWER, STORE_IO
 */
export function readExportFile(folder: string): ExportFile | undefined {
  return readJsonFile(join(folder, EXPORT_FILE), (value) => {
    const file = check(EXPORT, value);
    checkName('resource', file.name);
    return file;
  });
}

/**
 * Of the resource `resourceId`, and of no other.
 *
 * @throws DiskError FOLDER_FOREIGN, and as readExportFile
 */
export function readExportFileOf(folder: string, resourceId: string): ExportFile | undefined {
  const file = readExportFile(folder);
  if (file === undefined || file.resourceId === resourceId) return file;
  throw new DiskError(
    'FOLDER_FOREIGN',
    `${folder} has the log of another resource: ${file.name} with id ${file.resourceId}, exported ` +
      `by ${file.node}; the id here is ${resourceId}`,
    {folder, resourceId: file.resourceId},
  );
}

/** Names of the files of a base image that begins at a position. */
export function baseNames(begin: string): {json: string; image: string; digests: string} {
  const stem = `base-${begin}`;
  return {json: `${stem}.json`, image: `${stem}.img`, digests: `${stem}.sha256`};
}

/** The begin of a base, from the name of its document; undefined for any other file. */
export function beginOfName(name: string): string | undefined {
  return /^base-([0-9a-f]{16})\.json$/u.exec(name)?.[1];
}

/** @throws DiskError STATE_UNREADABLE, HOME_NEWER, STORE_IO, FOLDER_FOREIGN */
export function readBaseFile(folder: string, name: string, resourceId: string): BaseFile {
  const path = join(folder, name);
  const file = readJsonFile(path, (value) => {
    const base = check(BASE, value);
    if (base.begin > base.end) throw new Error('"end" lies before "begin"');
    return base;
  });
  if (file === undefined) throw new DiskError('STATE_UNREADABLE', `${path} is missing`, {path});
  if (file.resourceId === resourceId) return file;
  throw new DiskError('FOLDER_FOREIGN', `${path} is the image of another resource`, {path});
}
