import {existsSync} from 'node:fs';
import {DiskError} from '../../../core/errors.js';
import {homePaths} from '../../../core/home.js';
import {MarsCommand} from '../../base-command.js';
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

    // A command ends when its reader goes away; a daemon does not end with who read its log.
    process.stdout.removeAllListeners('error');
    process.stdout.on('error', () => undefined);
    await becomeDaemon(flags.home);
  }
}
