/**
 * Messages on what went with a change of the role and failed: the change itself is not made again by
 * the next daemon, so nobody would find out again. They are kept in a file until they are taken back.
 */
import fs from 'node:fs';
import * as v from 'valibot';
import {check} from '../core/check.js';
import {isDiskError} from '../core/errors.js';
import type {ResourcePaths} from '../core/home.js';
import {readJsonFile, writeJsonFile} from '../core/json-file.js';
import type {Context} from './context.js';
import type {Resource} from './resource.js';

const CODES = ['HOOK_FAILED', 'SERVICE_FAILED', 'ROLLBACK_UNFINISHED'] as const;
export type RoleMessageCode = (typeof CODES)[number];

const FILE = v.object({
  schema: v.literal(1),
  messages: v.array(v.object({code: v.picklist(CODES), text: v.string(), since: v.string()})),
});

/** Shows a message, to those who look and in the events, also after the next start of the daemon. */
export function sayOfRole(
  context: Context,
  resource: Resource,
  code: RoleMessageCode,
  text: string,
): void {
  resource.say(code, 'warning', text);
  context.tell(code, 'warning', resource.name, text);
  keep(context, resource);
}

/** It is well again. */
export function hushOfRole(context: Context, resource: Resource, code: RoleMessageCode): void {
  if (!resource.messages.some((message) => message.code === code)) return;
  resource.hush(code);
  keep(context, resource);
}

/** At the start of the daemon: shows again what was shown when the last one ended. */
export function restoreOfRole(context: Context, resource: Resource): void {
  try {
    const file = roleMessagesFile(resource.places.paths);
    const kept = readJsonFile(file, (value) => check(FILE, value));
    for (const {code, text, since} of kept?.messages ?? []) {
      resource.say(code, 'warning', text, since);
    }
  } catch (error) {
    if (!isDiskError(error)) throw error;
    context.log.warn({resource: resource.name, err: error}, 'messages of before are lost');
  }
}

function keep(context: Context, resource: Resource): void {
  const file = roleMessagesFile(resource.places.paths);
  const messages = resource.messages.filter(({code}) => CODES.some((known) => known === code));
  try {
    if (messages.length > 0) writeJsonFile(file, {schema: 1, messages});
    else fs.rmSync(file, {force: true});
  } catch (error) {
    // They are shown all the same, as long as this daemon runs.
    context.log.warn({resource: resource.name, err: error}, 'messages cannot be kept');
  }
}

/** Beside the socket of the disk process. */
function roleMessagesFile({socket}: ResourcePaths): string {
  return socket.replace(/sock$/u, 'role');
}
