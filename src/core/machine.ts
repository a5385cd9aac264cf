/** What this machine can do and lacks: the checks of `mars doctor`, and what `primary` needs. */
import fs from 'node:fs';
import {spawnSync} from 'node:child_process';
import {dirname, join} from 'node:path';
import type {ErrorCode} from './codes.js';
import type {Severity} from './disk-status.js';
import {DiskError} from './errors.js';
import {GIB, formatBytes} from './units.js';

export interface MachineCheck {
  readonly name: string;
  readonly ok: boolean;
  /** How bad it is where it is not ok. */
  readonly level: Severity;
  readonly found: string;
  /** What to do; empty where it is ok. */
  readonly remedy: string;
  readonly code: ErrorCode;
}

export interface MachineOptions {
  /** Home of the node; need not exist yet. */
  readonly home: string;
  /** Where `node -e` finds the npm package fuse-native: a directory below the installation. */
  readonly installation?: string;
}

/** Kernels before this one cannot send unanswered FUSE requests again. */
const RESEND_KERNEL = [6, 9] as const;
const NODE_LEAST = [20, 15] as const;
/** linux/capability.h. */
const CAP_SYS_ADMIN = 21;
const FUSE_RDEV = 10 * 256 + 229;
const FREE_BYTES_LEAST = 1 * GIB;
const PROGRAM_TIMEOUT_MS = 10_000;

/** Programs that mars starts, with their Debian packages. */
const PROGRAMS: Readonly<Record<string, string>> = {
  mount: 'mount',
  umount: 'mount',
  losetup: 'mount',
  flock: 'util-linux',
  fallocate: 'util-linux',
  perl: 'perl-base',
  stat: 'coreutils',
  mkfifo: 'coreutils',
};

/** Runs every check; none of them changes anything or touches a mount of mars. */
export function checkMachine(options: MachineOptions): MachineCheck[] {
  return [
    checkRoot(),
    checkNodeVersion(process.versions.node),
    checkKernel(fs.readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()),
    checkFuse(),
    checkFuseTimeouts(readFuseTimeouts()),
    checkFuseNative(options.installation),
    checkLoop(),
    ...Object.entries(PROGRAMS).map(([name, debian]) => checkProgram(name, debian)),
    checkFlusher(),
    checkFileSystem(options.home),
    checkSpace(options.home),
  ];
}

/**
 * What a FUSE mount needs.
 *
 * @throws DiskError NOT_ROOT, FUSE_MISSING, FUSE_TIMEOUT_SET
 */
export function requireFuse(): void {
  for (const check of [checkRoot(), checkFuse(), checkFuseTimeouts(readFuseTimeouts())]) {
    if (!check.ok) throw new DiskError(check.code, `${check.found}: ${check.remedy}`);
  }
}

function result(
  name: string,
  ok: boolean,
  level: Severity,
  code: ErrorCode,
  found: string,
  remedy: string,
): MachineCheck {
  return {name, ok, level, code, found, remedy: ok ? '' : remedy};
}

function checkRoot(): MachineCheck {
  const effective = /^CapEff:\s*([0-9a-f]+)$/mu.exec(fs.readFileSync('/proc/self/status', 'utf8'));
  const capable = hasCapability(effective?.[1] ?? '0', CAP_SYS_ADMIN);
  const found = capable ? 'root (CAP_SYS_ADMIN)' : `user ${process.getuid?.() ?? 'unknown'}`;
  return result('root', capable, 'critical', 'NOT_ROOT', found, 'run mars as root');
}

/** @param mask hex digits of CapEff (proc(5)) */
export function hasCapability(mask: string, capability: number): boolean {
  return ((BigInt(`0x${mask}`) >> BigInt(capability)) & 1n) === 1n;
}

/** `6.18.4-1-amd64` against [6, 9]. */
export function isVersionAtLeast(version: string, least: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major > least[0] || (major === least[0] && minor >= least[1]);
}

function checkNodeVersion(version: string): MachineCheck {
  const ok = isVersionAtLeast(version, NODE_LEAST);
  const remedy = `install Node ${NODE_LEAST.join('.')} or newer`;
  return result('node', ok, 'critical', 'TOOL_MISSING', `Node ${version}`, remedy);
}

/** @param release as /proc/sys/kernel/osrelease has it: `6.18.4-1-amd64` */
export function checkKernel(release: string): MachineCheck {
  const ok = isVersionAtLeast(release, RESEND_KERNEL);
  const found = ok
    ? `Linux ${release}: a disk process may be killed without an I/O error`
    : `Linux ${release}: the kill of a disk process may be an I/O error`;
  return result('kernel', ok, 'warning', 'KERNEL_OLD', found, 'install Linux 6.9 or newer');
}

function checkFuse(): MachineCheck {
  const remedy = 'modprobe fuse; in a container pass --device /dev/fuse';
  let found = 'there is no /dev/fuse';
  let ok = false;
  try {
    const stat = fs.statSync('/dev/fuse');
    ok = stat.isCharacterDevice() && stat.rdev === FUSE_RDEV;
    found = ok ? '/dev/fuse' : '/dev/fuse is not the FUSE device (10:229)';
  } catch {
    // Missing, as `found` says.
  }

  return result('fuse', ok, 'critical', 'FUSE_MISSING', found, remedy);
}

function readFuseTimeouts(): Record<string, number> {
  const timeouts: Record<string, number> = {};
  for (const name of ['default_request_timeout', 'max_request_timeout']) {
    try {
      timeouts[name] = Number(fs.readFileSync(`/proc/sys/fs/fuse/${name}`, 'utf8'));
    } catch {
      // Kernels before 6.15 know no such limit.
    }
  }

  return timeouts;
}

/** @param timeouts seconds by the names of /proc/sys/fs/fuse; 0 is none */
export function checkFuseTimeouts(timeouts: Readonly<Record<string, number>>): MachineCheck {
  const set = Object.entries(timeouts).filter(([, seconds]) => seconds !== 0);
  const found = set.map(([name, seconds]) => `fs.fuse.${name} = ${seconds}`).join(', ');
  return result(
    'fuse-timeout',
    set.length === 0,
    'critical',
    'FUSE_TIMEOUT_SET',
    found === '' ? 'no limit on the time of FUSE requests' : found,
    `sysctl ${set.map(([name]) => `fs.fuse.${name}=0`).join(' ')}`,
  );
}

function checkFuseNative(installation: string | undefined): MachineCheck {
  // In a child: the addon loads libfuse, which the caller must not have in its process.
  const child = spawnSync(process.execPath, ['-e', "require('fuse-native')"], {
    cwd: installation ?? dirname(new URL(import.meta.url).pathname),
    timeout: PROGRAM_TIMEOUT_MS,
    encoding: 'utf8',
  });
  const ok = child.status === 0;
  const words = /^\w*Error: (.*)$/mu.exec(child.stderr)?.[1] ?? 'it cannot be loaded';
  const found = ok
    ? 'the second driver: no discard, no resend after a crash'
    : `not to be had: ${words.slice(0, 120)}`;
  const remedy = 'only for --driver fuse-native: apt-get install libfuse2; npm i fuse-native';
  return result('fuse-native', ok, 'info', 'DRIVER_MISSING', found, remedy);
}

function checkLoop(): MachineCheck {
  const remedy = 'modprobe loop, or free one (losetup -l); without: primary --no-device';
  if (!fs.existsSync('/dev/loop-control')) {
    const found = 'there is no /dev/loop-control';
    return result('loop', false, 'warning', 'LOOP_MISSING', found, remedy);
  }

  const child = run('losetup', ['-f']);
  const device = child.stdout.trim();
  const ok = child.status === 0 && device.startsWith('/dev/');
  const found = ok ? `${device} is free` : `no free loop device: ${child.stderr.trim()}`;
  return result('loop', ok, 'warning', 'LOOP_MISSING', found, remedy);
}

function checkProgram(name: string, debianPackage: string): MachineCheck {
  const directories = (process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin').split(':');
  const path = directories
    .map((directory) => join(directory, name))
    .find((at) => fs.existsSync(at));
  const remedy = `apt-get install ${debianPackage}`;
  const found = path ?? 'not installed';
  return result(name, path !== undefined, 'critical', 'TOOL_MISSING', found, remedy);
}

function checkFlusher(): MachineCheck {
  // prctl(PR_SET_IO_FLUSHER): the child sets it for itself and ends; arm64 has another number.
  const call = process.arch === 'arm64' ? 167 : 157;
  const child = run('perl', ['-e', `exit(0 == syscall(${call}, 57, 1, 0, 0, 0) ? 0 : 1)`]);
  const ok = child.status === 0;
  const found = ok ? 'PR_SET_IO_FLUSHER is permitted' : 'PR_SET_IO_FLUSHER is refused';
  const remedy =
    'give CAP_SYS_RESOURCE; without it there is less margin when memory is scarce, nothing else';
  return result('io-flusher', ok, 'info', 'CAPABILITY_MISSING', found, remedy);
}

/** Overwriting allocates on these: a full file system then stops a preallocated image too. */
const COPY_ON_WRITE = new Set(['btrfs', 'zfs', 'bcachefs', 'overlayfs']);
const VOLATILE = new Set(['tmpfs', 'ramfs']);

function checkFileSystem(home: string): MachineCheck {
  const place = nearestDirectory(home);
  const type = run('stat', ['-f', '-c', '%T', place]).stdout.trim() || 'unknown';
  const copies = COPY_ON_WRITE.has(type);
  const found = `${place} is on ${type}${copies ? ', where overwriting needs free space' : ''}`;
  const remedy = VOLATILE.has(type)
    ? 'what is there is lost at a reboot: choose a home on a disk'
    : 'choose ext4 or xfs, or watch the free space: --preallocate does not help here';
  const ok = !copies && !VOLATILE.has(type);
  return result('file-system', ok, 'warning', 'STORE_FULL', found, remedy);
}

function checkSpace(home: string): MachineCheck {
  const place = nearestDirectory(home);
  const {bavail, bsize} = fs.statfsSync(place);
  const freeBytes = bavail * bsize;
  const ok = freeBytes >= FREE_BYTES_LEAST;
  const found = `${formatBytes(freeBytes)} free at ${place}`;
  return result('space', ok, 'warning', 'STORE_FULL', found, 'free space for logs and images');
}

function nearestDirectory(path: string): string {
  let place = path;
  while (!fs.existsSync(place) && place !== '/') place = dirname(place);
  return place;
}

function run(
  command: string,
  args: string[],
): {status: number | null; stdout: string; stderr: string} {
  const child = spawnSync(command, args, {
    timeout: PROGRAM_TIMEOUT_MS,
    encoding: 'utf8',
    cwd: '/',
    env: {...process.env, LC_ALL: 'C'},
  });
  return {
    status: child.status,
    stdout: child.error === undefined ? child.stdout : '',
    stderr: child.error === undefined ? child.stderr : child.error.message,
  };
}
