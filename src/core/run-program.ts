import {spawn} from 'node:child_process';
import {DiskError, errnoOf} from './errors.js';

/** Debian packages of the programs that are started here, for the message when one is missing. */
const PACKAGES: Readonly<Record<string, string>> = {
  blkid: 'util-linux',
  e2fsck: 'e2fsprogs',
  mount: 'mount',
  umount: 'mount',
  losetup: 'mount',
  fallocate: 'util-linux',
  flock: 'util-linux',
  mkdir: 'coreutils',
  perl: 'perl-base',
  systemctl: 'systemd',
  unshare: 'util-linux',
  xfs_repair: 'xfsprogs',
};

/** Longest output that is kept of a program. */
const OUTPUT_CHARS_MAX = 64 * 1024;

export interface ProgramResult {
  /** Exit code; null when it was killed or did not end in time. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/**
 * Runs a program with a time limit. A program that touches one of our mounts may hang where no
 * signal reaches it: after the limit it is killed and left behind, and the caller goes on.
 *
 * @throws DiskError TOOL_MISSING where there is no such program
 */
export function runProgram(
  command: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
      // Messages are read by rules below: they must be in one language.
      env: {...process.env, LC_ALL: 'C'},
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length < OUTPUT_CHARS_MAX) stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < OUTPUT_CHARS_MAX) stderr += text;
    });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      resolve({status: null, stdout, stderr, timedOut: true});
    }, timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(errnoOf(error) === 'ENOENT' ? toolMissing(command) : error);
    });
    child.once('close', (status) => {
      clearTimeout(timer);
      resolve({status, stdout, stderr, timedOut: false});
    });
  });
}

function toolMissing(command: string): DiskError {
  const debianPackage = PACKAGES[command] ?? command;
  return new DiskError(
    'TOOL_MISSING',
    `the program ${command} is not installed: apt-get install ${debianPackage}`,
    {program: command, package: debianPackage},
  );
}

/** What a program said when it failed, for a message: its last words on one line. */
export function programWords(result: ProgramResult): string {
  if (result.timedOut) return 'it did not end in time';
  const words = (result.stderr || result.stdout).trim().split('\n').slice(-3).join('; ');
  return words === '' ? `it ended with ${result.status ?? 'a signal'}` : words;
}
