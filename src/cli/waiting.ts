/** Tells, while an action is waited for, for whom and how long: a line every few seconds. */
import type {ResourceView} from '../control/api.js';
import {formatBytes} from '../core/units.js';
import {resourcePath, type Daemon} from './daemon.js';
import {formatSeconds} from './times.js';

const REMARK_INTERVAL_MS = 3_000;

export interface WaitOptions {
  readonly daemon: Daemon;
  readonly name: string;
  /** What is to happen: `become secondary`. */
  readonly goal: string;
  readonly timeoutSeconds: number;
  readonly remark: (text: string) => void;
  readonly intervalMs?: number;
}

/** Resolves as `action` does; while it does not, remarks go out. Never makes it fail. */
export async function remarkWhile<T>(action: Promise<T>, options: WaitOptions): Promise<T> {
  const {daemon, name, goal, timeoutSeconds, remark} = options;
  const startedMs = performance.now();
  let asking = false;
  const timer = setInterval(() => {
    if (asking) return;
    asking = true;
    const seconds = formatSeconds((performance.now() - startedMs) / 1000);
    void describeWait(daemon, name)
      .then((why) => {
        remark(`${name}: waits to ${goal}, ${seconds} of at most ${timeoutSeconds} s${why}`);
      })
      .finally(() => {
        asking = false;
      });
  }, options.intervalMs ?? REMARK_INTERVAL_MS);
  try {
    return await action;
  } finally {
    clearInterval(timer);
  }
}

async function describeWait(daemon: Daemon, name: string): Promise<string> {
  try {
    const {disk} = await daemon.get<ResourceView>(resourcePath(name));
    if (disk === null) return '';
    if (disk.waiting !== null) return `: ${disk.waiting.reason}`;
    const backlog = disk.replay.backlogBytes;
    return backlog > 0 ? `: ${formatBytes(backlog)} to replay` : `: disk is ${disk.phase}`;
  } catch {
    // Who is busy with the action need not have time for questions.
    return '';
  }
}
