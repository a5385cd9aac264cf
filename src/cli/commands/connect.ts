import type {ResourceView} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, resourcePath} from '../daemon.js';
import {hostFlag, parallelFlag, targetArgument, timeoutFlag} from '../options.js';
import type {TargetsDocument} from '../targets.js';

export default class Connect extends MarsCommand {
  static override aliases = ['connect-local'];
  static override args = {name: targetArgument};
  static override description = 'Undoes mars disconnect NAME. The wish is kept over restarts.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'let log and image of a resource flow between the nodes again';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(Connect);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.post<ResourceView>(resourcePath(name, '/connect'), {}, flags.timeout),
      (view) => {
        this.log(`${view.name}: connected`);
      },
    );
  }
}
