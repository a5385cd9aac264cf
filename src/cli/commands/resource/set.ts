import {Args} from '@oclif/core';
import type {ResourceView, SetRequest} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {parallelFlag, parseSettings, targetArgument, timeoutFlag} from '../../options.js';
import {renderResource} from '../../render-resource.js';
import type {TargetsDocument} from '../../targets.js';

export default class ResourceSet extends MarsCommand {
  static override args = {
    name: targetArgument,
    setting: Args.string({
      description: 'setting and its new value: key=value',
      required: true,
      multiple: true,
    }),
  };
  static override description = 'mars resource show NAME lists the settings and their values.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01 durability=write'];
  static override flags = {parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'change settings of a resource';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(ResourceSet);
    const body: SetRequest = {settings: parseSettings(args.setting)};
    const daemon = connectDaemon(flags.home);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.post<ResourceView>(resourcePath(name, '/set'), body, flags.timeout),
      (view) => {
        this.log(renderResource(view));
      },
    );
  }
}
