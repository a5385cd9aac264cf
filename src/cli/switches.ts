/**
 * `mars up` and `mars down`: all switches of a resource at once, as MARS admins know them. Each
 * switch is a request of its own; the first that is refused ends it, and those before it count.
 */
import type {ResourceView} from '../control/api.js';
import {resourcePath, type Daemon} from './daemon.js';

/** In this order: what is resumed finds the resource attached and the other nodes reachable. */
const UP = ['attach', 'connect', 'sync/resume', 'fetch/resume', 'replay/resume'] as const;

/** Refused at the first step while the resource is primary: nothing is changed then. */
const DOWN = ['detach', 'disconnect', 'sync/pause', 'fetch/pause', 'replay/pause'] as const;

/**
 * Turns all switches of the resource `name` on or off.
 *
 * @returns what the resource is afterwards
 * @throws DiskError as the switch that was refused
 */
export async function turnSwitches(
  daemon: Daemon,
  name: string,
  wish: 'up' | 'down',
  timeoutSeconds: number,
): Promise<ResourceView> {
  for (const step of wish === 'up' ? UP : DOWN) {
    const body = step === 'attach' || step === 'detach' ? {timeoutSeconds} : {};
    await daemon.post(resourcePath(name, `/${step}`), body, timeoutSeconds);
  }

  return daemon.get<ResourceView>(resourcePath(name));
}
