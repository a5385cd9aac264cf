import {spawn} from 'node:child_process';
import {existsSync} from 'node:fs';
import {constants} from 'node:os';
import {DiskError} from '../../../core/errors.js';
import {homePaths} from '../../../core/home.js';
import {MarsCommand} from '../../base-command.js';
import {daemonWords} from '../../daemon-program.js';
import {requireRoot} from '../../root-user.js';

const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const;

export default class DaemonRun extends MarsCommand {
  static override description =
    'Logs go to stderr, one JSON object per line. Ends on SIGTERM and Ctrl-C; disks go on.';
  static override examples = ['<%= config.bin %> <%= command.id %>'];
  static override summary = 'run the daemon of this node in the foreground';

  async run(): Promise<void> {
    const {flags} = await this.parse(DaemonRun);
    requireRoot('daemon run');
    if (!existsSync(homePaths(flags.home).nodeFile)) {
      throw new DiskError('NOT_INITIALISED', `there is no node at ${flags.home}: type mars init`, {
        home: flags.home,
      });
    }

    const exit = await runDaemon(flags.home);
    if (exit !== 0) this.exit(exit);
  }
}

/** @returns the exit status of the daemon: 128 and the signal's number where a signal ended it */
function runDaemon(home: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, daemonWords(home), {stdio: 'inherit'});
    const forward = (signal: NodeJS.Signals): void => {
      // A terminal sends Ctrl-C to the daemon as well: a second one would mean "at once".
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    };
    for (const signal of FORWARDED) process.on(signal, forward);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      for (const name of FORWARDED) process.off(name, forward);
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
