import type {ReplayView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument} from '../../options.js';
import {renderReplay} from '../../render-resource.js';
import type {TargetsDocument} from '../../targets.js';

export default class ReplayStatus extends MarsCommand {
  static override args = {name: targetArgument};
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag};
  static override summary = 'show how far the log is written to the image';

  async run(): Promise<ReplayView | TargetsDocument<ReplayView>> {
    const {args, flags} = await this.parse(ReplayStatus);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.get<ReplayView>(resourcePath(name, '/replay')),
      (view) => {
        this.log(renderReplay(view));
      },
    );
  }
}
