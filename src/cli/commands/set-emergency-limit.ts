import {Args} from '@oclif/core';
import {DiskError} from '../../core/errors.js';
import type {ResourceView, SetRequest} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, resourcePath} from '../daemon.js';
import {parallelFlag, targetArgument, timeoutFlag} from '../options.js';
import {renderResource} from '../render-resource.js';
import type {TargetsDocument} from '../targets.js';

/** A size with its unit: what MARS took was per cent. */
const SIZE = /^\d+(?:\.\d+)?[kmgtp](?:i?b)?$/iu;

export default class SetEmergencyLimit extends MarsCommand {
  static override args = {
    name: targetArgument,
    limit: Args.string({
      description: 'how much log may be kept for others, such as 20G',
      required: true,
    }),
  };
  static override flags = {parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override hidden = true;
  static override summary = 'old name of mars resource set NAME log-cap=SIZE';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(SetEmergencyLimit);
    if (!SIZE.test(args.limit)) {
      const text =
        `the limit is a size here, such as 20G, and not per cent of a file system: got '${args.limit}'; ` +
        `mars resource set ${args.name} log-cap=20G`;
      throw new DiskError('USAGE', text);
    }

    const body: SetRequest = {settings: {'log-cap': args.limit}};
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
