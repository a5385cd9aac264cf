import type {ResourceView} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, resourcePath} from '../daemon.js';
import {hostFlag, parallelFlag, targetArgument, timeoutFlag} from '../options.js';
import type {TargetsDocument} from '../targets.js';

export default class Disconnect extends MarsCommand {
  static override aliases = ['disconnect-local'];
  static override args = {name: targetArgument};
  static override description =
    'Before a mars primary NAME --force. Facts about the nodes are still exchanged. The wish is kept over restarts.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'keep a resource to this node: nothing comes in, nothing goes out';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(Disconnect);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.post<ResourceView>(resourcePath(name, '/disconnect'), {}, flags.timeout),
      (view) => {
        this.log(`${view.name}: disconnected`);
      },
    );
  }
}
