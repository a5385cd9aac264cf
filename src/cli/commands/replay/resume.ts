import type {ReplayView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument, timeoutFlag} from '../../options.js';
import {renderReplay} from '../../render-resource.js';
import type {TargetsDocument} from '../../targets.js';

export default class ReplayResume extends MarsCommand {
  static override aliases = ['resume-replay', 'resume-replay-local'];
  static override args = {name: targetArgument};
  static override description = 'Undoes mars replay pause NAME.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'write the log to the image again';

  async run(): Promise<ReplayView | TargetsDocument<ReplayView>> {
    const {args, flags} = await this.parse(ReplayResume);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.post<ReplayView>(resourcePath(name, '/replay/resume'), {}, flags.timeout),
      (view) => {
        this.log(renderReplay(view));
      },
    );
  }
}
