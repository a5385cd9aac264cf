/** The daemon as a program: from dist, or from a source checkout that runs under tsx. */
import {fileURLToPath} from 'node:url';

/**
 * Becomes the daemon of `home`: loads its program into this process, with the words that it would
 * have if it were started by itself.
 *
 * In this process, as the pid that a user or a script sees of `mars daemon run &` must be the
 * daemon's: a signal to it, SIGKILL too, reaches the daemon and no empty shell around it. Loaded
 * by a computed name, as no command but this one may load what a daemon needs.
 *
 * @throws what the program throws before it serves: NOT_INITIALISED, DAEMON_RUNNING, ...
 */
export async function becomeDaemon(home: string, module = import.meta.url): Promise<void> {
  const source = module.endsWith('.ts');
  const program = new URL(`../daemon/main.${source ? 'ts' : 'js'}`, module);
  // Disks outlive the daemon, and must not be started again from sources that are being edited.
  if (source) process.env['MARS_DISK_DIRECTORY'] ??= fileURLToPath(builtDisk(module));
  process.argv.splice(1, process.argv.length, fileURLToPath(program), '--home', home);
  await import(program.href);
}

function builtDisk(module: string): URL {
  return new URL('../../dist/disk', module);
}
