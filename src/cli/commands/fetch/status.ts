import type {FlowView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument} from '../../options.js';
import {renderFlow} from '../../render-flow.js';
import type {TargetsDocument} from '../../targets.js';

export default class FetchStatus extends MarsCommand {
  static override args = {name: targetArgument};
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag};
  static override summary = 'show how far the log was fetched from the other nodes';

  async run(): Promise<FlowView | TargetsDocument<FlowView>> {
    const {args, flags} = await this.parse(FetchStatus);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.get<FlowView>(resourcePath(name, '/fetch')),
      (view) => {
        this.log(renderFlow(view));
      },
    );
  }
}
