import fs from 'node:fs';
import path from 'node:path';
import {run} from '../test/helpers/run.js';

export interface FioResult {
  readonly iops: number;
  /** Megabytes (10^6) per second. */
  readonly megabytesPerSecond: number;
  readonly p99Us: number;
  readonly bytes: number;
  readonly seconds: number;
}

interface FioSide {
  readonly iops: number;
  readonly bw_bytes: number;
  readonly io_bytes: number;
  readonly total_ios: number;
  readonly runtime: number;
  readonly clat_ns: {readonly percentile?: Readonly<Record<string, number>>};
}

interface FioReport {
  readonly jobs: readonly {
    readonly error: number;
    readonly read: FioSide;
    readonly write: FioSide;
  }[];
}

/**
 * Runs one fio job; reads and writes are not mixed.
 *
 * @param scratch directory for fio's report and state files
 * @throws Error where fio fails or reports an I/O error
 */
export async function fio(
  scratch: string,
  target: string,
  options: readonly string[],
  timeoutMs = 120_000,
): Promise<FioResult> {
  const output = path.join(scratch, 'fio.json');
  await run(
    'fio',
    [
      '--name=bench',
      `--filename=${target}`,
      '--group_reporting',
      '--output-format=json',
      `--output=${output}`,
      ...options,
    ],
    {timeoutMs, cwd: scratch},
  );
  const text = fs.readFileSync(output, 'utf8');
  // fio writes its warnings before the document.
  const [job] = (JSON.parse(text.slice(text.indexOf('{'))) as FioReport).jobs;
  if (job === undefined || job.error !== 0) {
    throw new Error(`fio on ${target}: error ${job?.error ?? 'without a job'}`);
  }

  const side = job.read.total_ios > 0 ? job.read : job.write;
  return {
    iops: side.iops,
    megabytesPerSecond: side.bw_bytes / 1e6,
    p99Us: (side.clat_ns.percentile?.['99.000000'] ?? 0) / 1000,
    bytes: side.io_bytes,
    seconds: side.runtime / 1000,
  };
}
