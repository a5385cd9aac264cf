import type {HistoryView} from '../../../control/history-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument} from '../../options.js';
import {renderHistory} from '../../render-history.js';
import type {TargetsDocument} from '../../targets.js';

export default class HistoryList extends MarsCommand {
  static override args = {name: targetArgument};
  static override description =
    'Any moment from the first one shown on can be mounted on this node; other nodes may reach further ' +
    'back (--host). mars resource set NAME history=24h keeps a window of that length.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag};
  static override summary = 'show which moments of a disk can be mounted, and which are';

  async run(): Promise<HistoryView | TargetsDocument<HistoryView>> {
    const {args, flags} = await this.parse(HistoryList);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.get<HistoryView>(resourcePath(name, '/history')),
      (view) => {
        this.log(renderHistory(view));
      },
    );
  }
}
