import type {ResourceView, RoleRequest} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, resourcePath} from '../daemon.js';
import {parallelFlag, targetArgument, timeoutFlag} from '../options.js';
import {renderOutcome} from '../render-resource.js';
import type {TargetsDocument} from '../targets.js';
import {remarkWhile} from '../waiting.js';

export default class Detach extends MarsCommand {
  static override args = {name: targetArgument};
  static override description =
    'Refused while the resource is primary. The wish is kept over restarts.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'leave image and log of a resource alone';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(Detach);
    const daemon = connectDaemon(flags.home);
    const body: RoleRequest = {timeoutSeconds: flags.timeout};
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) =>
        remarkWhile(daemon.post<ResourceView>(resourcePath(name, '/detach'), body, flags.timeout), {
          ...{daemon, name, goal: 'be detached', timeoutSeconds: flags.timeout},
          remark: this.remark.bind(this),
        }),
      (view) => {
        this.log(renderOutcome(view));
      },
    );
  }
}
