/**
 * `mars init`: makes the home of a node. node.json is written last and is the commit point: what
 * a failed or killed init left behind has none, is removed where possible, and is taken over by
 * the next init. Needs no daemon.
 */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import {hostname} from 'node:os';
import {dirname, join} from 'node:path';
import {parseListen} from '../cluster/address.js';
import {ensureIdentity} from '../cluster/certificates.js';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import {appendEvent} from '../core/events.js';
import {HOME_DEFAULT, HOME_SCHEMA, homePaths, type NodeFile} from '../core/home.js';
import {isObject, readJsonFile, writeJsonFile} from '../core/json-file.js';
import {checkName} from '../core/names.js';

const DIRECTORIES = ['resources', 'run', 'run/disks', 'peers', 'tls'] as const;

/** What an init that was killed may have left, and what a fresh file system has. */
const REMAINS = new Set([
  ...['resources', 'run', 'peers', 'tls', 'lost+found', 'events.jsonl', 'daemon.lock'],
  ...['cluster.json', 'cluster.json.tmp', 'node.json.tmp'],
]);

type Undo = (() => void)[];

export interface InitRequest {
  readonly home: string;
  readonly name: string;
  readonly mounts: string;
  readonly devices: string;
  /** `ADDR:PORT` for peers. */
  readonly listen: string | null;
}

export interface InitDocument {
  readonly schema: 1;
  readonly home: string;
  readonly node: string;
  readonly id: string;
  readonly cluster: string;
  readonly mounts: string;
  readonly devices: string;
  readonly listen: string | null;
}

/** The name of the machine without its domain, made fit for a node name. */
export function defaultNodeName(): string {
  const word = (hostname().split('.')[0] ?? '').replaceAll(/[^a-zA-Z0-9_-]/gu, '-');
  return word.replace(/^[^a-zA-Z0-9]+/u, '').slice(0, 63) || 'node';
}

/** Where images appear unless `--mounts` says otherwise. */
export function defaultMounts(home: string): string {
  return home === HOME_DEFAULT ? '/run/mars' : join(home, 'mnt');
}

/** Where device links appear unless `--devices` says otherwise. */
export function defaultDevices(home: string): string {
  return home === HOME_DEFAULT ? '/dev/mars' : join(home, 'dev');
}

/**
 * Makes the home, or changes nothing.
 *
 * @throws DiskError ALREADY_INITIALISED, HOME_NEWER, STATE_UNREADABLE, HOME_NOT_EMPTY, USAGE,
 *   NAME_INVALID, TOOL_MISSING, STORE_FULL, STORE_READ_ONLY, STORE_IO
 */
export function initHome(request: InitRequest, wallMs: number): InitDocument {
  checkRequest(request);
  const paths = homePaths(request.home);
  const entries = listHome(request.home);
  const existing = readJsonFile(paths.nodeFile, checkNodeFile);
  if (existing !== undefined) {
    throw new DiskError(
      'ALREADY_INITIALISED',
      `${request.home} is the home of node ${existing.name} already; nothing was changed`,
      {home: request.home, node: existing.name},
    );
  }

  checkRemains(request.home, entries);
  const undo: Undo = [];
  try {
    return makeHome(request, undo, wallMs);
  } catch (error) {
    for (const step of undo.reverse()) step();
    throw storeError(error, `make the home ${request.home}`);
  }
}

function makeHome(request: InitRequest, undo: Undo, wallMs: number): InitDocument {
  const {home, name, mounts, devices, listen} = request;
  const paths = homePaths(home);
  makeDirectory(home, undo);
  const {mode} = fs.statSync(home);
  undo.push(() => {
    fs.chmodSync(home, mode);
  });
  fs.chmodSync(home, 0o700);
  for (const directory of DIRECTORIES) makeDirectory(join(home, directory), undo);
  const tls = join(home, 'tls');
  // Keys that a killed init left are used: nobody knows them yet.
  const before = new Set(fs.readdirSync(tls));
  undo.push(() => {
    for (const name of fs.readdirSync(tls)) if (!before.has(name)) fs.rmSync(join(tls, name));
  });
  ensureIdentity(home);
  const createdAt = new Date(wallMs).toISOString();
  const cluster = randomBytes(16).toString('hex');
  undo.push(() => {
    fs.rmSync(paths.clusterFile, {force: true});
    fs.rmSync(paths.nodeFile, {force: true});
  });
  writeJsonFile(paths.clusterFile, {schema: HOME_SCHEMA, id: cluster, createdAt});
  const node: NodeFile = {
    schema: HOME_SCHEMA,
    name,
    id: randomBytes(16).toString('hex'),
    mounts,
    devices,
    createdAt,
    ...(listen === null ? {} : {listen}),
  };
  writeJsonFile(paths.nodeFile, node);
  appendEvent(paths.eventsFile, wallMs, {
    node: name,
    resource: null,
    code: 'NODE_INITIALISED',
    severity: 'info',
    text: `node ${name} was made in ${home}`,
  });
  return {schema: 1, home, node: name, id: node.id, cluster, mounts, devices, listen};
}

/** Makes missing parents too; each directory that was not there before can be undone. */
function makeDirectory(path: string, undo: Undo): void {
  if (fs.existsSync(path)) return;
  makeDirectory(dirname(path), undo);
  fs.mkdirSync(path, {mode: 0o700});
  undo.push(() => {
    fs.rmSync(path, {recursive: true, force: true});
  });
}

function checkRequest({name, mounts, devices, listen}: InitRequest): void {
  checkName('node', name);
  if (mounts === devices) {
    throw new DiskError('USAGE', `--mounts and --devices must differ, both are ${mounts}`);
  }

  if (listen !== null) checkListen(listen);
}

/** @throws DiskError USAGE where it is not `ADDR:PORT`, `[IPV6]:PORT` or `:PORT` */
function checkListen(listen: string): void {
  if (parseListen(listen) !== undefined) return;
  throw new DiskError('USAGE', `--listen: expected ADDR:PORT such as 0.0.0.0:7777, got ${listen}`);
}

/** @returns nothing where the directory does not exist */
function listHome(home: string): string[] {
  try {
    return fs.readdirSync(home);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    if (errnoOf(error) === 'ENOTDIR') {
      throw new DiskError('USAGE', `expected a directory, but ${home} is, or lies below, a file`);
    }

    throw storeError(error, `read ${home}`);
  }
}

/** A directory that somebody uses for something else is not taken over. */
function checkRemains(home: string, entries: readonly string[]): void {
  const foreign = entries.find((entry) => !REMAINS.has(entry));
  const resources = entries.includes('resources') ? fs.readdirSync(join(home, 'resources')) : [];
  const found = foreign ?? (resources.length === 0 ? undefined : `resources/${resources[0] ?? ''}`);
  if (found === undefined) return;
  throw new DiskError(
    'HOME_NOT_EMPTY',
    `expected a new or empty directory, found ${found} in ${home}, and no node.json`,
    {home, found},
  );
}

function checkNodeFile(value: unknown): {readonly name: string} {
  if (!isObject(value) || typeof value['name'] !== 'string') throw new Error('"name" is missing');
  return {name: value['name']};
}
