import type {LogList} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {targetArgument} from '../../options.js';
import {renderLogList} from '../../render-resource.js';
import type {TargetsDocument} from '../../targets.js';

export default class LogListCommand extends MarsCommand {
  static override args = {name: targetArgument};
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override summary = 'list the transaction logfiles of a resource';

  async run(): Promise<LogList | TargetsDocument<LogList>> {
    const {args, flags} = await this.parse(LogListCommand);
    const daemon = connectDaemon(flags.home);
    return this.forTargets(
      daemon,
      args.name,
      (name) => daemon.get<LogList>(resourcePath(name, '/log')),
      (log) => {
        if (args.name === 'all') this.log(`${log.name}:`);
        this.log(renderLogList(log));
      },
    );
  }
}
