/**
 * Picks up state files that were edited by hand. A valid change of a setting is applied; anything
 * else is refused with file and fault, and the old value stays in force. Identity, size, role and
 * image are no settings: there are commands for them.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {DiskError, isDiskError} from '../core/errors.js';
import type {ResourceFile} from '../core/home.js';
import {applyDevice} from './operations.js';
import type {MarsNode} from './node.js';
import type {Resource} from './resource.js';
import {canonicalNode} from './places.js';
import {readNode} from './state.js';
import {tellMode, withModeChange} from './replication/shared-mode.js';
import {resourceSettingsKeys} from './settings.js';

/** An editor writes in several steps: the file is read when it was quiet for so long. */
const QUIET_MS = 100;
/** A hand is not faster. */
const POLL_MS = 500;

export interface FileWatch {
  close(): void;
}

/**
 * Watches node.json and each resource.json until closed.
 *
 * Not by inotify: a watched directory reports every write to any file in it, and the image and the
 * replay state lie beside resource.json; a watched file is lost with the rename that replaces it. And
 * not by chokidar, which asks a thread for each file: a stat of a local file costs 3 us.
 */
export function watchFiles(node: MarsNode): FileWatch {
  const {nodeFile} = node.context.paths;
  const timers = new Map<string, NodeJS.Timeout>();
  let stamps = new Map<string, string>();
  const take = (path: string, name: string | undefined): void => {
    clearTimeout(timers.get(path));
    const timer = setTimeout(() => {
      timers.delete(path);
      if (name === undefined) takeNode(node);
      else void takeResource(node, name);
    }, QUIET_MS);
    timers.set(path, timer);
  };
  const look = (isFirst: boolean): void => {
    const now = new Map<string, string>();
    const lookAt = (path: string, name?: string): void => {
      const stamp = stampOf(path);
      if (stamp === undefined) return;
      now.set(path, stamp);
      if (!isFirst && stamps.get(path) !== stamp) take(path, name);
    };
    lookAt(nodeFile);
    for (const {name, places} of node.resources()) lookAt(places.paths.resourceFile, name);
    stamps = now;
  };
  look(true);
  const poll = setInterval(() => {
    look(false);
  }, POLL_MS);
  return {
    close: () => {
      clearInterval(poll);
      for (const timer of timers.values()) clearTimeout(timer);
    },
  };
}

/** Another one after each change; undefined where the file cannot be looked at. */
function stampOf(path: string): string | undefined {
  try {
    const {ino, size, mtimeMs, ctimeMs} = fs.statSync(path);
    return [ino, size, mtimeMs, ctimeMs].join();
  } catch {
    return undefined;
  }
}

/** The keys that a person may change in the file. */
const EDITABLE: readonly (keyof ResourceFile)[] = [...resourceSettingsKeys, 'replayPaused'];

async function takeResource(node: MarsNode, name: string): Promise<void> {
  const resource = node.resources().find((known) => known.name === name);
  if (resource === undefined) return;
  try {
    await resource.run('edit', () => takeEdit(node, resource));
  } catch (error) {
    refuse(node, resource, error);
  }
}

async function takeEdit(node: MarsNode, resource: Resource): Promise<void> {
  const loaded = node.readFile(resource.name);
  if (loaded instanceof DiskError) throw loaded;
  const broken = resource.fault !== undefined;
  const changed = broken ? [] : changedKeys(resource.file, loaded);
  const fixed = changed.filter((key) => !EDITABLE.includes(key));
  const path = join(resource.places.paths.resourceFile);
  if (fixed.length > 0) {
    const text = `${path}: "${fixed.join('", "')}" cannot be changed by hand: use the mars command`;
    throw new DiskError('STATE_UNREADABLE', text, {file: path, fault: fixed.join(', ')});
  }

  resource.hush('STATE_UNREADABLE');
  if (!broken && changed.length === 0) return;
  const before = broken ? loaded : resource.file;
  resource.replace(loaded);
  const edited = Object.fromEntries(changed.map((key) => [key, loaded[key]]));
  const complete = withModeChange(before, edited, node.context.node.id);
  if (complete !== edited) {
    resource.save(complete);
    await tellMode(resource);
  }

  const what = broken ? 'the file is valid again' : changed.join(', ');
  node.context.tell('RESOURCE_CHANGED', 'info', resource.name, `edited by hand: ${what}`);
  if (changed.includes('device')) await applyDevice(resource);
}

function changedKeys(before: ResourceFile, after: ResourceFile): (keyof ResourceFile)[] {
  const keys = [...Object.keys(before), ...Object.keys(after)] as (keyof ResourceFile)[];
  const text = (file: ResourceFile, key: keyof ResourceFile): string => JSON.stringify(file[key]);
  return [...new Set(keys)].filter((key) => text(before, key) !== text(after, key));
}

function refuse(node: MarsNode, resource: Resource, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  const details = isDiskError(error) ? error.details : {};
  if (isDiskError(error)) resource.replace(error);
  resource.say('STATE_UNREADABLE', resource.fault === undefined ? 'warning' : 'critical', text);
  node.context.tell('SETTING_REFUSED', 'warning', resource.name, text, details);
}

function takeNode(node: MarsNode): void {
  const {context} = node;
  const before = context.node;
  try {
    const after = canonicalNode(readNode(context.paths.home));
    if (isDeepStrictEqual(after, before)) return;
    if (after.name !== before.name || after.id !== before.id) {
      throw new DiskError('STATE_UNREADABLE', 'node.json: "name" and "id" cannot be changed');
    }

    const moved = after.mounts !== before.mounts || after.devices !== before.devices;
    if (moved && node.resources().some((resource) => resource.disk?.mode === 'serve')) {
      const text = 'node.json: "mounts" and "devices" cannot be changed while disks are served';
      throw new DiskError('STATE_UNREADABLE', text);
    }

    context.node = after;
    context.tell('RESOURCE_CHANGED', 'info', null, 'node.json was edited by hand');
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    context.tell('SETTING_REFUSED', 'warning', null, text);
  }
}
