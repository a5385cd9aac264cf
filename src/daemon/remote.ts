/**
 * `--host NODE`: what a member may look at, and do for another node, through the connection of peers.
 *
 *   off    nothing
 *   read   what the control API tells, of what is a question only
 *   act    also the switches that destroy nothing and can be taken back: pause, resume, connect,
 *          disconnect (the default)
 *
 * Roles, attaching and all that gives something up is said on the node itself: decision 15.
 */
import * as v from 'valibot';
import type {Member} from '../cluster/members.js';
import {check} from '../core/check.js';
import {DiskError} from '../core/errors.js';
import {REMOTE_CONTROLS, type RemoteControl} from '../core/remote-control.js';
import type {Context} from './context.js';
import {checkPeerBody} from './peer-join.js';
import type {Request} from './routes.js';

export const REMOTE_CONTROL_DEFAULT: RemoteControl = 'act';

const READ =
  /^GET (?:daemon|status|events\/page|peers|sync-limit|resources|resources\/[^/]+(?:\/(?:log|replay|fetch|sync|fork|history))?)$/u;
const ACT =
  /^POST resources\/[^/]+\/(?:connect|disconnect|(?:replay|fetch|sync)\/(?:pause|resume))$/u;

const CONTROL = v.strictObject({
  method: v.picklist(['GET', 'POST']),
  words: v.pipe(v.array(v.pipe(v.string(), v.maxLength(100))), v.minLength(1), v.maxLength(5)),
  query: v.record(v.pipe(v.string(), v.maxLength(20)), v.pipe(v.string(), v.maxLength(100))),
  body: v.pipe(v.string(), v.maxLength(1000)),
});

/** As it goes over the connection. */
export type RemoteRequest = v.InferOutput<typeof CONTROL>;

/** What the setting of this node allows. */
export function remoteControlOf({node}: Context): RemoteControl {
  const set = node.remoteControl;
  return REMOTE_CONTROLS.find((each) => each === set) ?? REMOTE_CONTROL_DEFAULT;
}

/** What a request is; undefined: it is for the node itself only. */
export function kindOf({
  method,
  words,
}: Pick<Request, 'method' | 'words'>): 'read' | 'act' | undefined {
  // A word with a slash in it would make another path of the same text.
  if (words.some((word) => word.includes('/'))) return undefined;
  const text = `${method} ${words.join('/')}`;
  if (READ.test(text)) return 'read';
  return ACT.test(text) ? 'act' : undefined;
}

/** For the member that is to answer. @throws DiskError REMOTE_REFUSED where no node would do it */
export function toRemote({method, words, query, body}: Request): RemoteRequest {
  const request = {method, words: [...words], query: Object.fromEntries(query), body};
  if (method === 'GET' || method === 'POST') {
    const checked = {...request, method} as const;
    if (kindOf(checked) !== undefined) return checked;
  }

  const text = `${method} ${words.join('/')} is not done for another node: say it there`;
  throw new DiskError('REMOTE_REFUSED', text);
}

/**
 * Checks what a member asks for.
 *
 * @throws DiskError PEER_PROTOCOL, REMOTE_REFUSED
 */
export function fromRemote(context: Context, caller: Member, value: unknown): Request {
  const request = checkPeerBody('a request for this node', () => check(CONTROL, value));
  const {method, words, query, body} = request;
  const {name} = context.node;
  const kind = kindOf(request);
  const allowed = remoteControlOf(context);
  const what = `${method} ${words.join('/')}`;
  if (kind === undefined) {
    throw new DiskError(
      'REMOTE_REFUSED',
      `${what} is said on ${name} itself, not from ${caller.name}`,
    );
  }

  if (allowed === 'off' || (allowed === 'read' && kind === 'act')) {
    const text = `remote-control of ${name} is ${allowed}: ${what} is said on ${name} itself`;
    throw new DiskError('REMOTE_REFUSED', text, {node: name, allowed});
  }

  if (kind === 'act') {
    const text = `${caller.name} asks for ${words.slice(2).join(' ')}`;
    context.tell('REMOTE_ASKED', 'info', words[1] ?? null, text, {peer: caller.name});
  }

  return {method, words, query: new URLSearchParams(query), body};
}
