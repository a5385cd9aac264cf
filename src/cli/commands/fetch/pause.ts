import type {FlowView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument, timeoutFlag} from '../../options.js';
import {renderFlow} from '../../render-flow.js';
import type {TargetsDocument} from '../../targets.js';

export default class FetchPause extends MarsCommand {
  static override aliases = ['pause-fetch', 'pause-fetch-local'];
  static override args = {name: targetArgument};
  static override description =
    'This replica stays as old as it is now, and the primary keeps the log for it. The wish is kept over restarts.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'stop fetching log from the other nodes';

  async run(): Promise<FlowView | TargetsDocument<FlowView>> {
    const {args, flags} = await this.parse(FetchPause);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.post<FlowView>(resourcePath(name, '/fetch/pause'), {}, flags.timeout),
      (view) => {
        this.log(renderFlow(view));
      },
    );
  }
}
