/**
 * fallocate(2), for which Node has no call, through perl, which every Debian has.
 *
 * A disk process has helpers that were started before it (disk/holder.sh): a fork of its own would
 * mark all its pages as shared, and the kernel then cannot finish copying a request into one of them
 * when the process is killed in that moment: the application would see EIO. A helper is asked with
 * lines on a pipe and opens the file by /proc/PID/fd:
 *
 *   allocate|punch FD COUNT\n, then COUNT lines of OFFSET LENGTH\n   ->   errno\n, 0 for done
 *
 * Everybody else, and a disk process whose helper is gone, starts a perl for each call.
 */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import {errnoOf} from './errors.js';

/** Ends of the pipes to a helper. One thread at a time asks. */
export interface RangeHelper {
  readonly requests: number;
  readonly replies: number;
}

/** Environment variable with the descriptors of the helpers: `REQUESTS:REPLIES`, by commas. */
export const HELPERS_VARIABLE = 'MARS_HELPERS';

/** The helper number `index` that this process was given, if any. */
export function helperFromEnvironment(index: number): RangeHelper | undefined {
  const words = process.env[HELPERS_VARIABLE]?.split(',')[index] ?? '';
  const found = /^(\d+):(\d+)$/u.exec(words);
  if (found === null) return undefined;
  return {requests: Number(found[1]), replies: Number(found[2])};
}

/**
 * Makes a file that long, with its space reserved.
 *
 * @throws Error with the errno as `code`
 */
export function allocateRange(
  fd: number,
  sizeBytes: number,
  helper: RangeHelper | undefined,
): void {
  run('allocate', fd, [0, sizeBytes], [], helper);
}

/**
 * Makes ranges (offset and length in turn, bytes) read as zeros.
 *
 * @throws Error with the errno as `code`; EAGAIN or another where it was not tried
 */
export function punchRanges(
  fd: number,
  ranges: readonly number[],
  children: readonly number[],
  helper: RangeHelper | undefined,
): void {
  run('punch', fd, ranges, children, helper);
}

function run(
  kind: 'allocate' | 'punch',
  fd: number,
  ranges: readonly number[],
  children: readonly number[],
  helper: RangeHelper | undefined,
): void {
  let lines = '';
  for (let index = 0; index < ranges.length; index += 2) {
    lines += `${ranges[index] ?? 0} ${ranges[index + 1] ?? 0}\n`;
  }

  const errno = helper && askHelper(helper, `${kind} ${fd} ${ranges.length / 2}\n${lines}`);
  if (errno === undefined) runPerl(kind, lines, fd, children);
  else if (errno !== 0) throw fallocateError(ERRNO_NAMES[errno] ?? 'EIO');
}

/** @returns undefined where the helper is gone */
function askHelper(helper: RangeHelper, request: string): number | undefined {
  try {
    const bytes = Buffer.from(request);
    for (let done = 0; done < bytes.length;) {
      done += fs.writeSync(helper.requests, bytes, done);
    }

    const reply = Buffer.alloc(16);
    let text = '';
    while (!text.endsWith('\n')) {
      const count = fs.readSync(helper.replies, reply);
      if (count === 0) return undefined;
      text += reply.toString('latin1', 0, count);
    }

    return Number.parseInt(text, 10);
  } catch (error) {
    if (errnoOf(error) === 'EPIPE') return undefined;
    throw error;
  }
}

// Punch first; a block device or file system that cannot is asked to zero the range.
// The exit code is the errno.
const PUNCH_PROGRAM = `
my $call = (\`uname -m\` =~ /aarch64/) ? 47 : 285;
while (my $line = <STDIN>) {
  my ($offset, $length) = split ' ', $line;
  next if 0 == syscall($call, 3, 3, $offset + 0, $length + 0);
  next if 0 == syscall($call, 3, 17, $offset + 0, $length + 0);
  exit($! + 0 || 5);
}
exit 0;
`;
const ALLOCATE_PROGRAM = `
my $call = (\`uname -m\` =~ /aarch64/) ? 47 : 285;
my ($offset, $length) = split ' ', <STDIN>;
exit(0 == syscall($call, 3, 0, $offset + 0, $length + 0) ? 0 : $! + 0 || 5);
`;
const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  5: 'EIO',
  12: 'ENOMEM',
  19: 'ENODEV',
  22: 'EINVAL',
  28: 'ENOSPC',
  30: 'EROFS',
  38: 'ENOSYS',
  95: 'EOPNOTSUPP',
};

function runPerl(
  kind: 'allocate' | 'punch',
  input: string,
  fd: number,
  children: readonly number[],
): void {
  const program = kind === 'punch' ? PUNCH_PROGRAM : ALLOCATE_PROGRAM;
  const result = spawnSync('perl', ['-e', program], {
    input,
    stdio: ['pipe', 'ignore', 'ignore', fd, ...children],
  });
  if (result.status === 0) return;
  // Not started, or killed, for want of memory: says nothing of the file.
  const code =
    result.status === null
      ? (errnoOf(result.error) ?? 'EAGAIN')
      : (ERRNO_NAMES[result.status] ?? 'EIO');
  throw fallocateError(code, result.error);
}

function fallocateError(code: string, cause?: Error): Error {
  return Object.assign(new Error(`${code}: fallocate`, {cause}), {code, syscall: 'fallocate'});
}
