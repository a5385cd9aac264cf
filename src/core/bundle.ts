/**
 * The programs in few files (bin/bundle.mjs, dist/bundle/): loading some hundred small ones takes most of the time
 * in which a command answers, a daemon starts, and a disk process comes back.
 */
import fs from 'node:fs';
import {fileURLToPath} from 'node:url';

/**
 * Whether there is a bundle that is as new as everything that it was made from. Where it is not, as after
 * `tsc` alone, the files are loaded that it was made from. MARS_UNBUNDLED=1 asks for these: for coverage.
 *
 * @param dist URL of the directory dist/, with a slash at its end
 */
export function isBundled(dist: URL): boolean {
  if (process.env['MARS_UNBUNDLED'] === '1') return false;
  try {
    const list = new URL('bundle/inputs.json', dist);
    const madeMs = fs.statSync(list).mtimeMs;
    const inputs = JSON.parse(fs.readFileSync(list, 'utf8')) as readonly string[];
    const directory = fileURLToPath(dist);
    return inputs.every((file) => fs.statSync(directory + file).mtimeMs <= madeMs);
  } catch {
    return false;
  }
}

/**
 * Where the rest of a program is, for its main.ts: in the bundle, or beside it.
 *
 * @param main URL of dist/PART/main.js, or of src/PART/main.ts
 * @param part `daemon` or `disk`
 */
export function programUrl(main: string, part: string): string {
  if (main.endsWith('.ts')) return new URL('program.ts', main).href;
  const dist = new URL('..', main);
  return new URL(isBundled(dist) ? `bundle/${part}/program.js` : `${part}/program.js`, dist).href;
}
