/**
 * A primary that comes back after power loss may have less of its own last epoch than a replica has
 * received. What the replica has was acknowledged, perhaps flushed with it; a new epoch here would
 * cut it there (hazard 8). So, before one begins:
 *
 *   1. the facts of peers that were asked just now say who has the most of our last epoch
 *   2. the disk process recovers the log in mode follow
 *   3. it follows that peer until it has what the peer has told, the stream ends, nothing came for 5 s,
 *      or 15 s are over: reading the own log has to be done anyway and does not count
 *   4. it ends in order: what came is durable
 *
 * Died or failed in any of these: what came is a part of the log like any other record, and the
 * wish is still primary. A peer that does not answer in time is not waited for.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import {isDiskError} from '../../core/errors.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {findDisk, startFollow, stopReplay} from '../activate.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {isBypassed} from './bypass-rules.js';
import {openDiskStream} from './disk-stream.js';
import {findLongerTail, type LongerTail, type Standing} from './right.js';
import {splice} from './splice.js';

const LOOK_MS = 20;
const START_TIMEOUT_MS = 60_000;
const QUIET_MS = 5000;
const TAKE_MS = 15_000;
const STOP_TIMEOUT_MS = 30_000;

/** Steps 2 to 4 on real processes; fakes in tests. */
export interface TailSteps {
  readonly startFollow: () => Promise<void>;
  /** End of the log here; undefined while it is recovered. */
  readonly here: () => Promise<number | undefined>;
  /** Follows the peer until the stream ends, or `signal`. */
  readonly follow: (peer: LongerTail, signal: AbortSignal) => Promise<void>;
  readonly stopFollowing: () => Promise<void>;
  /** How long the log may take to be read here. */
  readonly startMs: number;
  /** So long nothing may come, and so long the whole may take. */
  readonly quietMs: number;
  readonly takeMs: number;
}

/**
 * Takes what the peer has more.
 *
 * @returns where the log here ends afterwards; undefined where that is not known
 * @throws the error of a step; the disk process was ended all the same
 */
export async function takeTail(steps: TailSteps, peer: LongerTail): Promise<number | undefined> {
  const over = new AbortController();
  const stage = {isOver: false};
  let stream: Promise<void> | undefined;
  try {
    await steps.startFollow();
    let position = await recoveredEnd(steps);
    if (position === undefined) return undefined;
    stream = steps.follow(peer, over.signal).finally(() => {
      stage.isOver = true;
    });
    // Its error is thrown below; until then nobody waits for it.
    stream.catch(() => undefined);
    const beganMs = performance.now();
    let movedMs = beganMs;
    while (!stage.isOver && position < peer.position) {
      const now = performance.now();
      if (now - movedMs > steps.quietMs || now - beganMs > steps.takeMs) break;
      await sleep(LOOK_MS);
      const next: number = (await steps.here()) ?? position;
      if (next > position) movedMs = performance.now();
      position = next;
    }

    over.abort();
    await stream;
    return (await steps.here()) ?? position;
  } finally {
    over.abort();
    await stream?.catch(() => undefined);
    await steps.stopFollowing();
  }
}

async function recoveredEnd({here, startMs}: TailSteps): Promise<number | undefined> {
  const deadlineMs = performance.now() + startMs;
  for (;;) {
    const position = await here();
    if (position !== undefined || performance.now() > deadlineMs) return position;
    await sleep(LOOK_MS);
  }
}

/**
 * Looks whether a peer has more of our last epoch, and takes it; never throws what only says that
 * it cannot be had. Runs in the queue of the resource, while nothing of it is served.
 *
 * @param own what is here, as its files say
 */
export async function takeLongerTail(
  context: Context,
  resource: Resource,
  own: Standing,
): Promise<void> {
  const {name} = resource;
  const peer = findLongerTail(own, context.roles?.replicas(resource.file.id) ?? []);
  if (peer === undefined || (await findDisk(resource.places)).kind !== 'absent') return;
  // The log here ends with what is in the image, and the image goes on without it.
  if (isBypassed(resource)) return;
  const wanted = formatPosition(peer.position);
  const until = new Date(context.clock.wallMs() + START_TIMEOUT_MS + TAKE_MS).toISOString();
  resource.wait(`${peer.name} to give what it has more of the log, up to ${wanted}`, until);
  let end: number | undefined;
  try {
    end = await takeTail(tailSteps(context, resource), peer);
  } catch (error) {
    if (!isDiskError(error)) throw error;
    context.log.warn({resource: name, err: error}, 'a longer log is not to be had');
  } finally {
    resource.waitIsOver();
  }

  const isWhole = (end ?? 0) >= peer.position;
  const text = isWhole
    ? `the log of ${name} here ended at ${own.position}; ${peer.name} gave what it had, up to ${wanted}`
    : `the log of ${name} here ends at ${formatPosition(end ?? 0)}; what ${peer.name} has up to ` +
      `${wanted} was not to be had in time`;
  const severity = isWhole ? 'info' : 'warning';
  context.tell('TAIL_TAKEN', severity, name, text, {node: peer.name, position: wanted});
}

function tailSteps(context: Context, resource: Resource): TailSteps {
  const {file, name, places} = resource;
  return {
    startMs: START_TIMEOUT_MS,
    quietMs: QUIET_MS,
    takeMs: TAKE_MS,
    startFollow: async () => {
      resource.forgetEnd();
      const deadlineMs = performance.now() + START_TIMEOUT_MS;
      resource.noteStatus(await startFollow(context, file, deadlineMs));
    },
    here: async () => {
      await resource.poll();
      const {disk} = resource;
      if (disk?.mode !== 'follow' || disk.follow?.phase !== 'following') return undefined;
      if (disk.phase === 'starting' || disk.phase === 'recovering') return undefined;
      return parsePosition(disk.position);
    },
    follow: async (peer, signal) => {
      const path = `resources/${file.id}/log`;
      const remote = await context.roles?.open(peer.nodeId, path, 'mars-log/1', QUIET_MS);
      if (remote === undefined) return;
      // Nobody else listens while the disk process is asked.
      remote.on('error', () => undefined);
      try {
        const local = await openDiskStream(places.paths.socket, 'mars-log/1', QUIET_MS);
        await splice(remote, local, {silenceMs: QUIET_MS, lingerMs: LOOK_MS, signal});
      } finally {
        remote.destroy();
      }
    },
    stopFollowing: async () => {
      const {kind, status} = await findDisk(places);
      if (kind !== 'replaying') return;
      await stopReplay(places, name, performance.now() + STOP_TIMEOUT_MS);
      resource.noteEnd(status);
    },
  };
}
