/**
 * The values that `mars view-NAME RESOURCE` prints: one word on stdout for scripts, under the names
 * of MARS where it has one. Truth is 1 or 0, sizes are bytes, `-` is not known.
 */
import type {ResourceStatus, StatusDocument} from '../control/api.js';
import {parsePosition} from '../core/position.js';

interface ViewValue {
  /** What it is, for people. */
  readonly meaning: string;
  readonly of: (
    one: ResourceStatus,
    document: StatusDocument,
  ) => string | number | boolean | null | undefined;
}

const isPrimary = ({role}: Pick<ResourceStatus, 'role'>): boolean =>
  role === 'primary' || role === 'forcedPrimary' || role === 'remainsPrimary';

export const VIEW_VALUES: Readonly<Record<string, ViewValue>> = {
  role: {meaning: 'the role here', of: (one) => one.role},
  state: {meaning: 'the state here', of: (one) => one.state},
  health: {meaning: 'ok, warning, critical or unknown', of: (one) => one.health},
  flags: {meaning: 'six letters, DCASFR: see docs/MARSADM.md', of: flagsOf},
  'get-primary': {
    meaning: 'name of the node that is to be primary',
    of: (one) => one.designatedPrimary,
  },
  'is-primary': {meaning: 'whether it is primary here', of: (one) => isPrimary(one)},
  'is-secondary': {meaning: 'whether it is secondary here', of: (one) => one.role === 'secondary'},
  'todo-primary': {
    meaning: 'whether it is to be primary here',
    of: (one, {node}) => one.designatedPrimary === node,
  },
  'is-attach': {
    meaning: 'whether it is attached',
    of: (one) => one.state !== 'Detached' && one.state !== 'NotJoined',
  },
  'todo-attach': {
    meaning: 'the wish for it',
    of: (one) => one.state !== 'Detached' && one.state !== 'NotJoined',
  },
  'is-device': {meaning: 'whether the disk can be used here', of: (one) => one.image !== null},
  'device-opened': {meaning: 'how many have it open', of: (one) => one.openCount},
  'todo-fetch': {
    meaning: 'whether log is to be fetched',
    of: ({wishes}) => wishes && !wishes.fetchPaused,
  },
  'is-fetch': {
    meaning: 'whether log is fetched',
    of: (one) => (one.follow == null ? false : one.follow.connected),
  },
  'todo-sync': {
    meaning: 'whether the image may be copied',
    of: ({wishes}) => wishes && !wishes.syncPaused,
  },
  'is-sync': {meaning: 'whether the image is being copied', of: (one) => one.follow?.sync != null},
  'todo-replay': {
    meaning: 'whether the log is to be replayed',
    of: ({wishes}) => wishes && !wishes.replayPaused,
  },
  'todo-connect': {meaning: 'whether it is connected by wish', of: ({wishes}) => wishes?.connected},
  'is-consistent': {
    meaning: 'whether the image here is of one moment',
    of: ({state}) => !['InConsistent', 'Syncing', 'NotJoined', 'DefectiveImage'].includes(state),
  },
  'is-emergency': {
    meaning: 'whether the log has no space',
    of: ({state}) => state === 'EmergencyMode',
  },
  'resource-size': {meaning: 'size of the disk', of: (one) => one.sizeBytes},
  'log-size': {meaning: 'bytes of all logfiles here', of: (one) => one.log.bytes},
  'rest-space': {
    meaning: 'free bytes where the log lies',
    of: (one) => one.log.fileSystem?.freeBytes ?? null,
  },
  'work-pos': {meaning: 'end of the log here', of: (one) => one.position},
  'replay-pos': {meaning: 'what the image has', of: (one) => one.replayed},
  'fetch-rest': {
    meaning: 'bytes of log that are still to come',
    of: (one) => (one.follow == null ? 0 : one.follow.lagBytes),
  },
  'replay-rest': {meaning: 'bytes of log that are not in the image yet', of: replayRest},
  'sync-rest': {
    meaning: 'bytes of the image that are still to be copied',
    of: ({follow}) => (follow?.sync == null ? 0 : follow.sync.totalBytes - follow.sync.doneBytes),
  },
  'sync-percent': {
    meaning: 'how much of the image is copied',
    of: ({follow, state}) => follow?.sync?.percent ?? (state === 'InConsistent' ? 0 : 100),
  },
  'fetch-lag': {
    meaning: 'seconds behind the primary',
    of: (one) => (isPrimary(one) ? 0 : (one.follow?.lagSeconds ?? null)),
  },
  'replica-lag': {meaning: 'seconds that the worst replica elsewhere is behind', of: worstLag},
  'resource-members': {
    meaning: 'nodes with a replica, one a line',
    of: (one, {node}) => membersOf(one, node).join('\n'),
  },
  'count-resource-members': {
    meaning: 'how many nodes have a replica',
    of: (one, {node}) => membersOf(one, node).length,
  },
  errors: {
    meaning: 'messages that are shown here, one a line',
    of: ({messages}) => messages.map(({code, text}) => `${code} ${text}`).join('\n'),
  },
};

/** The value as it is printed. */
export function viewValue(name: string, one: ResourceStatus, document: StatusDocument): string {
  const value = VIEW_VALUES[name]?.of(one, document);
  if (value === undefined || value === null) return '-';
  return typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
}

/**
 * D device, C connect, A attach, S sync, F fetch, R replay. Large: wished, and so it is. Small:
 * wished, but not so (yet). `-`: not wished.
 */
function flagsOf(one: ResourceStatus, {node}: StatusDocument): string {
  const {wishes, follow, replicas, state} = one;
  const letter = (name: string, wish: boolean | undefined, fact: boolean): string =>
    wish === true ? (fact ? name : name.toLowerCase()) : '-';
  const isHeard = replicas.length === 0 || replicas.some(({link}) => link === 'up');
  const isAttached = state !== 'Detached' && state !== 'NotJoined';
  const isHere = wishes !== undefined;
  return [
    letter('D', one.designatedPrimary === node || one.image !== null, one.image !== null),
    letter('C', wishes?.connected, isHeard),
    letter('A', isHere && isAttached, state !== 'Recovery'),
    letter('S', isHere && !wishes.syncPaused, follow?.sync == null && state !== 'InConsistent'),
    letter('F', isHere && !wishes.fetchPaused, follow == null || follow.connected),
    letter(
      'R',
      isHere && !wishes.replayPaused,
      !['DefectiveLog', 'DefectiveImage'].includes(state),
    ),
  ].join('');
}

function replayRest({position, replayed}: ResourceStatus): number | null {
  const end = parsePosition(position ?? '');
  const start = parsePosition(replayed ?? '');
  return end === undefined || start === undefined ? null : Math.max(0, end - start);
}

function worstLag({replicas}: ResourceStatus): number | null {
  const lags = replicas.flatMap(({lagSeconds}) => lagSeconds ?? []);
  return lags.length === 0 ? null : Math.max(...lags);
}

function membersOf({state, replicas}: ResourceStatus, node: string): string[] {
  const here = state === 'NotJoined' ? [] : [node];
  return [...here, ...replicas.map((replica) => replica.node)].sort();
}
