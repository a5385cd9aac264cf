import type {FlowView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument} from '../../options.js';
import {renderFlow} from '../../render-flow.js';
import type {TargetsDocument} from '../../targets.js';

export default class SyncStatus extends MarsCommand {
  static override args = {name: targetArgument};
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag};
  static override summary = 'show how far the image was copied from another node';

  async run(): Promise<FlowView | TargetsDocument<FlowView>> {
    const {args, flags} = await this.parse(SyncStatus);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.get<FlowView>(resourcePath(name, '/sync')),
      (view) => {
        this.log(renderFlow(view));
      },
    );
  }
}
