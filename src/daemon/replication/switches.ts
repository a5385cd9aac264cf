/** The wishes of users about what comes from other nodes: `connect`, `fetch pause` and the like. */
import type {FlowView} from '../../control/api.js';
import type {ResourceFile} from '../../core/home.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import type {Replica} from './replica.js';
import {progressOf} from './replica-state.js';

type Wish = Pick<ResourceFile, 'connected' | 'fetchPaused' | 'syncPaused'>;

/** Why nothing flows, where that is wished. */
export function pausedReason(flow: FlowView['flow'], name: string): string {
  return `paused by wish: mars ${flow} resume ${name}`;
}

/** The same for the switch of all that comes from other nodes. */
export function disconnectedReason(name: string): string {
  return `disconnected by wish: mars connect ${name}`;
}

/** Changes a wish; done already counts. @throws DiskError STORE_*; the old wish is then in force */
export function setWish(
  context: Context,
  resource: Resource,
  wish: Partial<Wish>,
  words: string,
): void {
  const {file} = resource;
  const change = Object.entries(wish).filter(
    ([key, value]) => (file[key as keyof Wish] ?? key === 'connected') !== value,
  );
  if (change.length > 0) {
    resource.save(wish);
    const resumed = Object.entries(wish).every(([key, value]) => value === (key === 'connected'));
    const code = resumed ? 'FETCH_RESUMED' : 'FETCH_PAUSED';
    context.tell(code, 'info', file.name, `${file.name}: ${words}`);
  }

  resource.follow?.poke();
}

/** `fetch status` and `sync status`. */
export function flowView(
  resource: Resource,
  replica: Replica | undefined,
  flow: FlowView['flow'],
): FlowView {
  const {file, disk, lastDisk} = resource;
  const paused = (flow === 'fetch' ? file.fetchPaused : file.syncPaused) === true;
  const state = replica?.follow.state;
  const isSecondary = file.designatedRole === 'secondary';
  const status = isSecondary ? replica?.followStatus : null;
  const isMine = state?.flow === flow;
  return {
    schema: 1,
    name: file.name,
    flow,
    paused,
    state: flowState(paused, isMine ? state.stage : 'idle'),
    source: isMine ? (state.source?.name ?? null) : null,
    received: lastDisk?.position ?? null,
    originEnd: disk?.follow?.originEnd ?? null,
    lagBytes: status?.lagBytes ?? null,
    lagSeconds: status?.lagSeconds ?? null,
    sync: isSecondary ? progressOf(disk) : null,
    waiting: isMine && !isOfOldWish(file, flow, state.waiting) ? state.waiting : null,
  };
}

/** A wish that was just taken back is in the state until the next look. */
function isOfOldWish(
  {name, connected, fetchPaused, syncPaused}: ResourceFile,
  flow: FlowView['flow'],
  waiting: FlowView['waiting'],
): boolean {
  const paused = flow === 'fetch' ? fetchPaused : syncPaused;
  if (waiting?.reason === pausedReason(flow, name)) return paused !== true;
  return waiting?.reason === disconnectedReason(name) && connected !== false;
}

function flowState(paused: boolean, stage: 'idle' | 'waiting' | 'open'): FlowView['state'] {
  if (paused) return 'paused';
  if (stage === 'open') return 'running';
  return stage === 'waiting' ? 'waiting' : 'idle';
}
