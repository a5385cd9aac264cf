import {runChild} from './child.js';

/**
 * Prints c8's report over everything that wrote V8 coverage: unit tests (src/ by tsx), and the
 * commands, daemons and disk processes of the end-to-end tests (dist/, mapped back to src/).
 * Settings and threshold are in .c8rc.json.
 *
 * @returns false where the threshold is missed
 */
export async function reportCoverage(directory: string): Promise<boolean> {
  process.stdout.write('\n== coverage\n');
  const result = await runChild(
    process.execPath,
    [
      '--max-old-space-size=4096',
      'node_modules/c8/bin/c8.js',
      'report',
      `--temp-directory=${directory}`,
    ],
    {seconds: 300, echo: true},
  );
  return result.status === 0;
}
