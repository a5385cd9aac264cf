import type {FlowView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument, timeoutFlag} from '../../options.js';
import {renderFlow} from '../../render-flow.js';
import type {TargetsDocument} from '../../targets.js';

export default class SyncResume extends MarsCommand {
  static override aliases = ['resume-sync', 'resume-sync-local'];
  static override args = {name: targetArgument};
  static override description = 'Undoes mars sync pause NAME; the copy goes on where it was.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'copy the image from another node again';

  async run(): Promise<FlowView | TargetsDocument<FlowView>> {
    const {args, flags} = await this.parse(SyncResume);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.post<FlowView>(resourcePath(name, '/sync/resume'), {}, flags.timeout),
      (view) => {
        this.log(renderFlow(view));
      },
    );
  }
}
