/**
 * What goes with a change of the role: hooks (hooks.ts), and the systemd unit that a resource may be
 * bound to (`resource set NAME systemd-unit=UNIT`).
 *
 *   becomes primary     before-primary; role, image, device; unit is started; after-primary
 *   becomes secondary   before-secondary; unit is stopped; device and image go; after-secondary
 *
 *   before-* fails                  refused, nothing has changed
 *   the unit does not stop          it is started again, refused: SERVICE_FAILED
 *   the disk is still in use then   the same: the unit is started again, RESOURCE_BUSY
 *   the unit does not start         shown as SERVICE_FAILED; the role stays
 *   after-* fails                   shown as HOOK_FAILED; the role stays
 *
 * What is shown is shown by the next daemon as well (role-messages.ts).
 *
 * A disk whose processes died and were brought back is no change of the role, but its device was gone
 * for a moment: the unit is started where it does not run.
 */
import {DiskError, isDiskError} from '../core/errors.js';
import type {Context} from './context.js';
import {deviceOf} from './device.js';
import {HOOK_MS_MAX, runHook, type Hook} from './hooks.js';
import type {Resource} from './resource.js';
import {hushOfRole, sayOfRole} from './role-messages.js';
import {programWords, runProgram} from '../core/run-program.js';

/** systemd's own limit for a start or stop is 90 s; it is asked a little longer. */
const SYSTEMCTL_MS_MAX = 95_000;

/** @throws DiskError HOOK_FAILED: the change is refused */
export async function beforePrimary(
  context: Context,
  resource: Resource,
  deadlineMs: number,
): Promise<void> {
  await runHook(context, resource, 'before-primary', deadlineMs - performance.now());
}

/** Device and image are there. What fails is shown, and changes nothing. */
export async function afterPrimary(context: Context, resource: Resource): Promise<void> {
  await startUnit(context, resource);
  await runAfter(context, resource, 'after-primary');
}

/** Where a unit is bound and the device is there: starts it, unless it runs. */
export async function startUnit(context: Context, resource: Resource): Promise<void> {
  const unit = resource.file.systemdUnit;
  if (unit == null) {
    hushOfRole(context, resource, 'SERVICE_FAILED');
    return;
  }

  try {
    const {device, withoutDevice} = resource.file;
    if (device && withoutDevice !== true && deviceOf(resource.places) === null) {
      throw unitError(resource, unit, 'it is started when the device is there');
    }

    await systemctl(resource, 'start', unit, SYSTEMCTL_MS_MAX);
    hushOfRole(context, resource, 'SERVICE_FAILED');
  } catch (error) {
    note(context, resource, error);
  }
}

/**
 * Hook and unit, before device and image go.
 *
 * @returns what to do where they do not go after all
 * @throws DiskError HOOK_FAILED, SERVICE_FAILED: refused, and the unit runs as before
 */
export async function beforeSecondary(
  context: Context,
  resource: Resource,
  deadlineMs: number,
): Promise<() => Promise<void>> {
  await runHook(context, resource, 'before-secondary', deadlineMs - performance.now());
  const unit = resource.file.systemdUnit;
  if (unit == null) return () => Promise.resolve();
  const back = (): Promise<void> => startUnit(context, resource);
  const limitMs = Math.max(1000, Math.min(SYSTEMCTL_MS_MAX, deadlineMs - performance.now()));
  try {
    await systemctl(resource, 'stop', unit, limitMs);
  } catch (error) {
    // Also where systemd is still at it: a start takes the place of the stop.
    await back();
    throw error;
  }

  return back;
}

/** What fails is shown, and changes nothing. */
export async function afterSecondary(context: Context, resource: Resource): Promise<void> {
  hushOfRole(context, resource, 'SERVICE_FAILED');
  await runAfter(context, resource, 'after-secondary');
}

async function runAfter(context: Context, resource: Resource, hook: Hook): Promise<void> {
  try {
    await runHook(context, resource, hook, HOOK_MS_MAX);
    hushOfRole(context, resource, 'HOOK_FAILED');
  } catch (error) {
    note(context, resource, error);
  }
}

function note(context: Context, resource: Resource, error: unknown): void {
  if (!isDiskError(error)) throw error;
  const code = error.code === 'HOOK_FAILED' ? 'HOOK_FAILED' : 'SERVICE_FAILED';
  sayOfRole(context, resource, code, error.message);
}

async function systemctl(
  resource: Resource,
  verb: 'start' | 'stop',
  unit: string,
  timeoutMs: number,
): Promise<void> {
  const result = await runProgram('systemctl', [verb, unit], timeoutMs);
  if (result.status === 0) return;
  throw unitError(resource, unit, `systemctl ${verb} ${unit}: ${programWords(result)}`);
}

function unitError({name}: Resource, unit: string, why: string): DiskError {
  const text = `the unit ${unit}, which is bound to ${name}: ${why}`;
  return new DiskError('SERVICE_FAILED', text, {resource: name, unit});
}
