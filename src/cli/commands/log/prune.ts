import {Flags} from '@oclif/core';
import type {PruneResult} from '../../../control/care-api.js';
import {isDiskError} from '../../../core/errors.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, type Daemon} from '../../daemon.js';
import {offlineNames, pruneLogOf} from '../../offline-care.js';
import {parallelFlag, targetArgument} from '../../options.js';
import {renderPrune} from '../../render-care.js';
import {listNames, type TargetsDocument} from '../../targets.js';

export default class LogPrune extends MarsCommand {
  static override aliases = ['log-delete', 'log-delete-all', 'log-purge-all'];
  static override args = {name: targetArgument};
  static override description =
    'A file goes when nothing in it is needed by the image here, by a replica or by a copy under ' +
    'way; the last two stay always. The log uses it again; what are too many is deleted. The ' +
    'daemon and mars cron do this by themselves. Works without a daemon as well.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --dry-run',
    '<%= config.bin %> <%= command.id %> all',
  ];
  static override flags = {
    parallel: parallelFlag,
    'dry-run': Flags.boolean({
      description: 'only show which files would go, and who needs the others',
      default: false,
    }),
    purge: Flags.boolean({
      description:
        'also branches that were given up (forks/), what was cut (cuts/) and files whose device failed',
      default: false,
    }),
    yes: Flags.boolean({description: 'with --purge: they are not wanted any more', default: false}),
  };
  static override summary = 'give up logfiles that nobody needs, and say why others stay';

  async run(): Promise<PruneResult | TargetsDocument<PruneResult>> {
    const {args, flags} = await this.parse(LogPrune);
    const daemon = connectDaemon(flags.home);
    const request = {dryRun: flags['dry-run'], purge: flags.purge, confirmed: flags.yes};
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => pruneLogOf(daemon, name, request),
      (result) => {
        this.log(renderPrune(result));
      },
      () => namesWithOrWithout(daemon),
    );
  }
}

async function namesWithOrWithout(daemon: Daemon): Promise<string[]> {
  try {
    return await listNames(daemon);
  } catch (error) {
    if (!isDiskError(error, 'DAEMON_UNREACHABLE')) throw error;
    return offlineNames(daemon.home);
  }
}
