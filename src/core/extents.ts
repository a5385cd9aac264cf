/**
 * Where a sparse file has data. SEEK_DATA and SEEK_HOLE of lseek(2) through perl, as node:fs has no
 * lseek. What cannot tell (an old file system, a missing perl) has data everywhere: that costs time
 * and is never wrong. A range that is written while the scan runs may still be called a hole.
 */
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {assert} from './assert.js';

// Holes below the granularity are passed over: asking about them costs more than reading them.
const SCAN_PROGRAM = `
open(my $file, '<&=', 3) or exit 1;
my ($size, $granularity) = @ARGV;
my ($start, $end) = (-1, -1);
my $at = 0;
while ($at < $size) {
  my $data = sysseek($file, $at, 3);
  if (!defined $data) { last if $! == 6; exit 1; }
  my $hole = sysseek($file, $data, 4);
  exit 1 if !defined $hole || $hole <= $data;
  if ($start >= 0 && $data - $end >= $granularity) { print "$start $end\\n"; $start = -1; }
  $start = $data + 0 if $start < 0;
  $end = $at = $hole + 0;
}
print "$start $end\\n" if $start >= 0;
print "done\\n";
`;

/** Tells of one range with data; ranges come in order and do not overlap. */
export type OnExtent = (start: number, end: number) => void;

/**
 * Scans the first `sizeBytes` of the open file or block device `fd`.
 *
 * @param granularityBytes shorter holes are not told
 * @returns false where nobody knows: `onExtent` was called with everything, maybe after parts of it
 */
export async function scanExtents(
  fd: number,
  sizeBytes: number,
  granularityBytes: number,
  onExtent: OnExtent,
): Promise<boolean> {
  let isDone = false;
  const child = spawn('perl', ['-e', SCAN_PROGRAM, String(sizeBytes), String(granularityBytes)], {
    stdio: ['ignore', 'pipe', 'ignore', fd],
  });
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => {
      resolve();
    });
    child.once('close', () => {
      resolve();
    });
  });
  assert(child.stdout !== null, 'stdout is a pipe');
  for await (const line of createInterface({input: child.stdout})) {
    if (line === 'done') {
      isDone = true;
      break;
    }

    const [start = Number.NaN, end = Number.NaN] = line.split(' ').map(Number);
    assert(start < end, 'perl tells ranges');
    if (start < sizeBytes) onExtent(start, Math.min(end, sizeBytes));
  }

  await ended;
  if (!isDone) onExtent(0, sizeBytes);
  return isDone;
}

/** Which chunks of a file may have data: one bit each, 2 MiB for a disk of 15 TiB. */
export class ChunkMap {
  readonly count: number;
  readonly #chunkBytes: number;
  readonly #bits: Uint8Array;

  constructor(sizeBytes: number, chunkBytes: number) {
    this.count = Math.ceil(sizeBytes / chunkBytes);
    this.#chunkBytes = chunkBytes;
    this.#bits = new Uint8Array(Math.ceil(this.count / 8));
  }

  /** Marks all chunks that bytes [start, end) touch. */
  mark(start: number, end: number): void {
    const last = Math.min(this.count, Math.ceil(end / this.#chunkBytes));
    let chunk = Math.floor(start / this.#chunkBytes);
    assert(chunk >= 0 && start < end, 'a range of bytes');
    while (chunk < last) {
      if (chunk % 8 === 0 && chunk + 8 <= last) {
        this.#bits[chunk / 8] = 0xff;
        chunk += 8;
      } else {
        this.#bits[chunk >> 3] = (this.#bits[chunk >> 3] ?? 0) | (1 << (chunk & 7));
        chunk += 1;
      }
    }
  }

  has(chunk: number): boolean {
    return ((this.#bits[chunk >> 3] ?? 0) & (1 << (chunk & 7))) !== 0;
  }

  /** @returns the first chunk behind `chunk`, at most `limit`, that is not like it */
  runEnd(chunk: number, limit: number): number {
    const whole = this.has(chunk) ? 0xff : 0;
    let at = chunk + 1;
    while (at < limit) {
      if (at % 8 === 0 && this.#bits[at / 8] === whole) at += 8;
      else if (this.has(at) === (whole !== 0)) at += 1;
      else break;
    }

    return Math.min(at, limit);
  }
}
