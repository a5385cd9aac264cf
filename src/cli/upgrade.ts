/**
 * The steps of `mars daemon upgrade`, in their order:
 *
 *   1. the installed programs are loaded once, before anything depends on them
 *   2. the daemon is restarted: by systemd where it is a unit, else by itself; it adopts the disks
 *   3. disk processes are renewed, one after the other
 *
 * It may be broken off between any two of them, and said again.
 */
import {execFile} from 'node:child_process';
import {join} from 'node:path';
import {setTimeout as pause} from 'node:timers/promises';
import {promisify} from 'node:util';
import type {DaemonStatus, RoleRequest} from '../control/api.js';
import type {RenewResult, RestartRequest} from '../control/daemon-api.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {resourcePath, type Daemon} from './daemon.js';
import {listNames, runTargets, type TargetsDocument} from './targets.js';
import {remarkWhile} from './waiting.js';

const run = promisify(execFile);
const CHECK_MS_MAX = 60_000;
const POLL_MS = 100;
const REMARK_MS = 3000;

export interface UpgradeProcess {
  readonly pid: number | null;
  readonly version: string;
}

export interface UpgradeDocument {
  readonly schema: 1;
  /** Of the installed programs. */
  readonly version: string;
  readonly daemon: {
    readonly before: UpgradeProcess;
    /** The same where only disks were renewed. */
    readonly after: UpgradeProcess;
    readonly unit: string | null;
  };
  readonly disks: readonly RenewResult[];
  readonly errors: TargetsDocument<RenewResult>['errors'];
}

export interface UpgradeOptions {
  readonly daemon: Daemon;
  /** The directory that holds `bin` and `dist`. */
  readonly installation: string;
  readonly version: string;
  readonly disksOnly: boolean;
  /** Of each step. */
  readonly timeoutSeconds: number;
  readonly remark: (text: string) => void;
  readonly shown: (result: RenewResult) => void;
  readonly failed: (name: string, error: unknown) => void;
}

/**
 * Restarts the daemon and renews the disk processes.
 *
 * @throws DiskError DAEMON_UNREACHABLE, UPGRADE_FAILED, RENEW_REFUSED, TIMEOUT: no disk was touched then
 */
export async function upgrade(options: UpgradeOptions): Promise<UpgradeDocument> {
  const {daemon, version, remark, disksOnly} = options;
  const status = await daemon.get<DaemonStatus>('/v1/daemon');
  for (const part of ['daemon', 'disk']) await checkProgram(options, part);
  const before: UpgradeProcess = {pid: status.pid, version: status.version};
  const unit = status.unit ?? null;
  let after = before;
  if (!disksOnly) {
    const how = unit === null ? 'it starts its own successor' : `systemctl restart ${unit}`;
    remark(`daemon ${before.version}, pid ${before.pid ?? '-'}, restarts: ${how}`);
    after = await restartDaemon(options, status);
    remark(`daemon ${after.version}, pid ${after.pid ?? '-'}, answers`);
  }

  const {resources, errors} = await renewAll(options);
  return {schema: 1, version, daemon: {before, after, unit}, disks: resources, errors};
}

function programOf({installation}: UpgradeOptions, part: string): string {
  return join(installation, 'dist', part, 'main.js');
}

/** @throws DiskError UPGRADE_FAILED with what the program says */
async function checkProgram(options: UpgradeOptions, part: string): Promise<void> {
  const program = programOf(options, part);
  try {
    await run(process.execPath, [program, '--check'], {timeout: CHECK_MS_MAX, cwd: '/'});
  } catch (error) {
    const {stderr = ''} = error as {stderr?: string};
    const words = stderr.trim().split('\n').slice(-3).join('; ') || String(error);
    const text = `${program} does not start here, nothing was restarted: ${words}`;
    throw new DiskError('UPGRADE_FAILED', text, {program}, {cause: error});
  }
}

async function restartDaemon(
  options: UpgradeOptions,
  {pid, unit}: DaemonStatus,
): Promise<UpgradeProcess> {
  const {timeoutSeconds, version} = options;
  const deadlineMs = performance.now() + timeoutSeconds * 1000;
  if (pid === 1) {
    const text =
      'the daemon is process 1 of its container, which would end with it: restart the ' +
      'container, or mars daemon upgrade --disks-only';
    throw new DiskError('RENEW_REFUSED', text, {pid});
  }

  if (unit == null) {
    await askToRestart(options);
  } else {
    await restartUnit(unit, timeoutSeconds);
  }

  const after = await untilAnotherAnswers(options, pid, deadlineMs);
  if (after.version === version) return {pid: after.pid, version};
  const text =
    `the daemon that came up is ${after.version}, installed here is ${version}: its unit names ` +
    'another installation: mars daemon install, systemctl daemon-reload, and again';
  throw new DiskError('UPGRADE_FAILED', text, {version: after.version, expected: version});
}

/** With the Node that was tried; a daemon that does not know of it is asked without. */
async function askToRestart(options: UpgradeOptions): Promise<void> {
  const {daemon, timeoutSeconds} = options;
  const body: RestartRequest = {program: programOf(options, 'daemon')};
  const more: RestartRequest = {...body, node: process.execPath};
  try {
    await daemon.post('/v1/daemon/restart', more, timeoutSeconds);
  } catch (error) {
    if (!isDiskError(error, 'USAGE')) throw error;
    await daemon.post('/v1/daemon/restart', body, timeoutSeconds);
  }
}

async function restartUnit(unit: string, timeoutSeconds: number): Promise<void> {
  try {
    await run('systemctl', ['restart', unit], {timeout: timeoutSeconds * 1000});
  } catch (error) {
    const {stderr = ''} = error as {stderr?: string};
    const words = stderr.trim() || String(error);
    const text = `systemctl restart ${unit}: ${words}; disks go on: journalctl -u ${unit}`;
    throw new DiskError('UPGRADE_FAILED', text, {unit}, {cause: error});
  }
}

async function untilAnotherAnswers(
  {daemon, remark}: UpgradeOptions,
  pid: number | null,
  deadlineMs: number,
): Promise<DaemonStatus> {
  let nextRemarkMs = performance.now() + REMARK_MS;
  for (;;) {
    const status = await daemon.get<DaemonStatus>('/v1/daemon').catch((error: unknown) => {
      if (isDiskError(error, 'DAEMON_UNREACHABLE') || isDiskError(error, 'TIMEOUT')) return null;
      throw error;
    });
    if (status !== null && status.pid !== pid) return status;
    const what =
      status === null ? 'the new daemon does not answer yet' : 'the old daemon is ending';
    const now = performance.now();
    if (now > deadlineMs) {
      const text = `${what}, and disks go on; its output says why: journalctl -u mars, or where mars daemon run prints`;
      throw new DiskError('TIMEOUT', text, {pid: pid ?? 0});
    }

    if (now > nextRemarkMs) {
      nextRemarkMs = now + REMARK_MS;
      remark(`${what}: waits another ${Math.ceil((deadlineMs - now) / 1000)} s at most`);
    }

    await pause(POLL_MS);
  }
}

/** One after the other: if one does not come up, it is the only one, and the rest goes on as it was. */
async function renewAll(options: UpgradeOptions): Promise<TargetsDocument<RenewResult>> {
  const {daemon, timeoutSeconds, remark, shown, failed} = options;
  const body: RoleRequest = {timeoutSeconds};
  let broken: string | undefined;
  return runTargets(
    {names: await listNames(daemon), parallel: false},
    (name) => {
      if (broken !== undefined) {
        const text = `${name} goes on with its old version, as ${broken} did not come up with the new one`;
        throw new DiskError('RENEW_REFUSED', text, {resource: name});
      }

      const answer = daemon.post<RenewResult>(resourcePath(name, '/renew'), body, timeoutSeconds);
      const goal = 'renew its disk process';
      return remarkWhile(answer, {daemon, name, goal, timeoutSeconds, remark});
    },
    shown,
    (name, error) => {
      const isBroken = isDiskError(error, 'UPGRADE_FAILED') || isDiskError(error, 'TIMEOUT');
      if (isBroken) broken ??= name;
      failed(name, error);
    },
  );
}
