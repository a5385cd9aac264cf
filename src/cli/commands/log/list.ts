import type {LogList} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument} from '../../options.js';
import {renderLogList} from '../../render-resource.js';
import type {TargetsDocument} from '../../targets.js';

export default class LogListCommand extends MarsCommand {
  static override args = {name: targetArgument};
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag};
  static override summary = 'list the transaction logfiles of a resource';

  async run(): Promise<LogList | TargetsDocument<LogList>> {
    const {args, flags} = await this.parse(LogListCommand);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.get<LogList>(resourcePath(name, '/log')),
      (log) => {
        if (args.name === 'all') this.log(`${log.name}:`);
        this.log(renderLogList(log));
      },
    );
  }
}
