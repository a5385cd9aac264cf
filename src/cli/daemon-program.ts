/** The daemon as a program: from dist, or from a source checkout through tsx. */
import {fileURLToPath} from 'node:url';

/** Words after `node` that start the daemon of `home`. */
export function daemonWords(home: string, module = import.meta.url): string[] {
  const source = module.endsWith('.ts');
  const main = fileURLToPath(new URL(`../daemon/main.${source ? 'ts' : 'js'}`, module));
  // Resolved here: `--import tsx` alone is looked up from the working directory.
  return [...(source ? ['--import', import.meta.resolve('tsx')] : []), main, '--home', home];
}
