import type {FlowView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument, timeoutFlag} from '../../options.js';
import {renderFlow} from '../../render-flow.js';
import type {TargetsDocument} from '../../targets.js';

export default class SyncPause extends MarsCommand {
  static override aliases = ['pause-sync', 'pause-sync-local'];
  static override args = {name: targetArgument};
  static override description =
    'What was copied is kept; until the copy is complete this replica cannot be used. The wish is kept over restarts.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'stop copying the image from another node';

  async run(): Promise<FlowView | TargetsDocument<FlowView>> {
    const {args, flags} = await this.parse(SyncPause);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.post<FlowView>(resourcePath(name, '/sync/pause'), {}, flags.timeout),
      (view) => {
        this.log(renderFlow(view));
      },
    );
  }
}
