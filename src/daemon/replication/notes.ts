/** Messages and events of a replica: what the status shows of its source and of the others. */
import type {DiskFollow} from '../../core/disk-status.js';
import {isDiskError} from '../../core/errors.js';
import {skewMessage} from '../clock-skew.js';
import type {VerifyReport} from '../../control/verify-api.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import type {Candidate} from './choose-source.js';
import type {FolderSource, FolderStep} from './folder-source.js';
import {describeSuccessor, type Successor} from './incarnation.js';
import {verifyOf} from './verify-facts.js';

/** It is being started again, or was told to stop: nothing to be shown. */
const PASSING: ReadonlySet<string> = new Set([
  'DISK_UNREACHABLE',
  'TIMEOUT',
  'RESOURCE_NOT_PRIMARY',
  'RESOURCE_UNKNOWN',
]);

/** Shows, or takes back, what the source said to the history of this replica. */
export function noteAnswer(
  context: Context,
  resource: Resource,
  {answer}: DiskFollow,
  source: string,
): void {
  // Nothing was said of the history: what was known of it stays.
  if (answer === null || answer.kind === 'refused') return;
  const at = answer.position ?? 'an unknown position';
  const words = {
    SPLIT_BRAIN: `this replica and ${source} have different histories from ${at} on: both are kept`,
    HISTORY_UNKNOWN: `${source} knows nothing of the history of this replica`,
  } as const;
  for (const [code, kind] of [
    ['SPLIT_BRAIN', 'forked'],
    ['HISTORY_UNKNOWN', 'unknown'],
  ] as const) {
    if (answer.kind !== kind) {
      resource.hush(code);
      continue;
    }

    const text = answer.text ?? words[code];
    if (!resource.messages.some((message) => message.code === code)) {
      context.tell(code, 'critical', resource.name, text);
    }

    resource.say(code, 'critical', text);
  }
}

/** Takes back what a source said to this history when another one goes on with it, while its stream lasts. */
export function noteFollowed(resource: Resource, follow: DiskFollow | null | undefined): void {
  if (follow?.connected !== true || follow.next != null || follow.answer?.kind !== 'follow') return;
  resource.hush('SPLIT_BRAIN');
  resource.hush('HISTORY_UNKNOWN');
}

/** Shows why nothing is followed, where that is not about to pass. */
export function noteFailure(context: Context, resource: Resource, error: unknown): void {
  const fields = {resource: resource.name, err: error};
  if (!isDiskError(error)) {
    context.log.error(fields, 'following failed');
    return;
  }

  context.log.info({...fields, code: error.code}, 'not followed');
  if (!PASSING.has(error.code)) resource.sayFailure(error.code, error.message);
}

/** Shows that the resource of this replica is no more, or is another one on the other nodes. */
export function noteSuccessor(
  context: Context,
  resource: Resource,
  successor: Successor | undefined,
): void {
  if (successor === undefined) {
    resource.hush('RESOURCE_REPLACED');
    return;
  }

  const {name, messages} = resource;
  const text = describeSuccessor(name, successor);
  if (!messages.some(({code}) => code === 'RESOURCE_REPLACED')) {
    context.tell('RESOURCE_REPLACED', 'critical', name, text);
  }

  resource.say('RESOURCE_REPLACED', 'critical', text);
}

const FOLDER_CODES = ['FOLDER_DAMAGED', 'FOLDER_FOREIGN'] as const;

/** Shows what is wrong in the folder that is followed; what is only missing is waited for. */
export function noteFolder(resource: Resource, folder: FolderSource, step: FolderStep): void {
  const {foreign} = folder;
  const wrong = step.kind === 'wait' ? step.code : undefined;
  for (const code of FOLDER_CODES) if (code !== wrong) resource.hush(code);
  if (step.kind === 'wait' && wrong !== undefined) {
    resource.say(wrong, 'warning', step.reason.replace(`${wrong}: `, ''));
  } else if (foreign.length > 0) {
    const text = `${folder.folder}: ${foreign.join(', ')} of another resource, passed over`;
    resource.say('FOLDER_FOREIGN', 'warning', text);
  }
}

/** No folder is followed any more. */
export function hushFolder(resource: Resource): void {
  for (const code of FOLDER_CODES) resource.hush(code);
}

/** Shows what is known of the replicas elsewhere: heard of or not, readable or not, equal or not. */
export function noteOthers(
  resource: Resource,
  own: VerifyReport | undefined,
  replicas: readonly Candidate[],
  unreadable: readonly string[],
): void {
  if (resource.file.designatedRole === 'secondary') noteFollowed(resource, resource.disk?.follow);
  noteLinks(resource, replicas);
  noteUnreadable(resource, unreadable);
  noteDifferences(resource, own, replicas);
}

/** Names the replicas that are not heard of, and those on nodes with another time. */
export function noteLinks(resource: Resource, replicas: readonly Candidate[]): void {
  const down = replicas.filter(({linkUp}) => !linkUp).map(({name}) => name);
  if (down.length === 0) resource.hush('LINK_DOWN');
  else {
    const text = `not heard of for 10 s or longer: ${down.join(', ')}`;
    resource.say('LINK_DOWN', 'warning', text);
  }

  const up = replicas.filter(({linkUp}) => linkUp);
  const skewed = up.flatMap(({name, clockSkewMs}) =>
    clockSkewMs === undefined ? [] : [{name, offsetMs: clockSkewMs}],
  );
  const skew = skewMessage(skewed, up.length - skewed.length);
  if (skew === undefined) resource.hush('CLOCK_SKEW');
  else resource.say('CLOCK_SKEW', 'warning', skew);
}

/** Names the replicas elsewhere that hold other data; the one here has a message of its own. */
function noteDifferences(
  resource: Resource,
  own: VerifyReport | undefined,
  replicas: readonly Candidate[],
): void {
  if (own !== undefined && own.differentBytes > 0) return;
  const texts = replicas.flatMap(({name, facts}) => {
    const verify = verifyOf(facts);
    if (verify === null || verify.differentBytes === 0) return [];
    return [`${name} differs from ${verify.with} in ${verify.differentBytes} bytes`];
  });
  if (texts.length === 0) resource.hush('VERIFY_DIFFERENT');
  else resource.say('VERIFY_DIFFERENT', 'warning', texts.join('; '));
}

/** Names the nodes that have a replica and cannot read its files. */
export function noteUnreadable(resource: Resource, names: readonly string[]): void {
  if (names.length === 0) resource.hush('REPLICA_UNREADABLE');
  else {
    const text = `${names.join(', ')}: the files of the replica cannot be read there; its log is kept here`;
    resource.say('REPLICA_UNREADABLE', 'warning', text);
  }
}
