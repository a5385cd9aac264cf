import type {DaemonStatus as DaemonStatusDocument} from '../../../control/api.js';
import {describeDisks, listDisks} from '../../../control/disk-client.js';
import {EXIT} from '../../../core/codes.js';
import {isDiskError} from '../../../core/errors.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {renderDaemon} from '../../render-daemon.js';

export default class DaemonStatus extends MarsCommand {
  static override description =
    'Without a daemon the exit status is 4, and the running disks are shown all the same.';
  static override examples = ['<%= config.bin %> <%= command.id %> --json'];
  static override summary = 'show whether the daemon runs, and its disk processes';

  async run(): Promise<DaemonStatusDocument> {
    const {flags} = await this.parse(DaemonStatus);
    try {
      const status = await connectDaemon(flags.home).get<DaemonStatusDocument>('/v1/daemon');
      this.log(renderDaemon(status, flags.home, Date.now()));
      return status;
    } catch (error) {
      const absent =
        isDiskError(error, 'DAEMON_UNREACHABLE') || isDiskError(error, 'NOT_INITIALISED');
      if (!absent) throw error;
    }

    const disks = describeDisks(await listDisks(flags.home));
    const {version} = this.config;
    const status: DaemonStatusDocument = {
      schema: 1,
      pid: null,
      version,
      startedAt: null,
      unit: null,
      disks,
    };
    this.log(renderDaemon(status, flags.home, Date.now()));
    this.finish(status, EXIT.unreachable);
  }
}
