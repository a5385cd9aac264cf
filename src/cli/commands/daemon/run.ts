import {existsSync} from 'node:fs';
import type {DaemonStatus} from '../../../control/api.js';
import {DiskError, isDiskError} from '../../../core/errors.js';
import {homePaths} from '../../../core/home.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {becomeDaemon} from '../../daemon-program.js';
import {requireRoot} from '../../root-user.js';

export default class DaemonRun extends MarsCommand {
  static override description =
    'Logs are one JSON object per line. Ends on SIGTERM and Ctrl-C; disks go on.';
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

    await refuseSecond(flags.home);
    // A command ends when its reader goes away; a daemon does not end with who read its log.
    process.stdout.removeAllListeners('error');
    process.stdout.on('error', () => undefined);
    await becomeDaemon(flags.home);
  }
}

/** The lock decides; this only tells it in the words of a command, with the pid. */
async function refuseSecond(home: string): Promise<void> {
  try {
    const {pid} = await connectDaemon(home).get<DaemonStatus>('/v1/daemon');
    if (pid === null) return;
    throw new DiskError('DAEMON_RUNNING', `a daemon runs at ${home}: pid ${pid}`, {home, pid});
  } catch (error) {
    if (!isDiskError(error, 'DAEMON_UNREACHABLE')) throw error;
  }
}
