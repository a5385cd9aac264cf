import type {ResourceView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument} from '../../options.js';
import {renderResource} from '../../render-resource.js';
import type {TargetsDocument} from '../../targets.js';

export default class ResourceShow extends MarsCommand {
  static override args = {name: targetArgument};
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag};
  static override summary = 'show a resource with its settings';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(ResourceShow);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.get<ResourceView>(resourcePath(name)),
      (view) => {
        this.log(renderResource(view));
      },
    );
  }
}
