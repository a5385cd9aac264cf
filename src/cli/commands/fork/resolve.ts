import {Flags} from '@oclif/core';
import type {ForkRequest, ForkResult} from '../../../control/api.js';
import {checkName} from '../../../core/names.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderForkResult} from '../../render-fork.js';

export default class ForkResolve extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'Type it on the node that gives way: what it has of its own behind the common point is lost ' +
    'there, and the node follows the other one again. Before that, its logfiles and its image are ' +
    'kept aside, so that mars fork undo can bring them back; --no-image keeps the logfiles only. ' +
    'Refused while it is primary, and without --yes. Nothing is done on the other node.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --keep alpha --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --keep alpha --yes',
  ];
  static override flags = {
    keep: Flags.string({
      description: 'node whose history stays',
      required: true,
      helpValue: 'NODE',
      parse: (input) => Promise.resolve(checkName('node', input)),
    }),
    'dry-run': Flags.boolean({description: 'only show what would be lost', default: false}),
    image: Flags.boolean({
      description: 'keep the image of what gives way too, where it has room',
      default: true,
      allowNo: true,
    }),
    yes: Flags.boolean({char: 'y', description: 'really give it up', default: false}),
    timeout: timeoutFlag(120),
  };
  static override summary = 'after a split brain, give up the history of this node';

  async run(): Promise<ForkResult> {
    const {args, flags} = await this.parse(ForkResolve);
    const {keep, yes, timeout, image} = flags;
    const body: ForkRequest = {
      ...{keep, dryRun: flags['dry-run'], confirmed: yes},
      ...{image, timeoutSeconds: timeout},
    };
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/fork/resolve');
    const result = await daemon.post<ForkResult>(path, body, timeout);
    this.log(renderForkResult(result));
    return result;
  }
}
