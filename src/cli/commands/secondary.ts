import type {ResourceView, RoleRequest} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, resourcePath} from '../daemon.js';
import {parallelFlag, targetArgument, timeoutFlag} from '../options.js';
import {renderOutcome} from '../render-resource.js';
import type {TargetsDocument} from '../targets.js';
import {remarkWhile} from '../waiting.js';

export default class Secondary extends MarsCommand {
  static override args = {name: targetArgument};
  static override description =
    'Refused while the device or image is open or mounted; the refusal says by whom. Replay goes on.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'stop exposing a resource on this node';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(Secondary);
    const daemon = connectDaemon(flags.home);
    const body: RoleRequest = {timeoutSeconds: flags.timeout};
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) =>
        remarkWhile(
          daemon.post<ResourceView>(resourcePath(name, '/secondary'), body, flags.timeout),
          {
            ...{daemon, name, goal: 'become secondary', timeoutSeconds: flags.timeout},
            remark: this.remark.bind(this),
          },
        ),
      (view) => {
        this.log(renderOutcome(view));
      },
    );
  }
}
