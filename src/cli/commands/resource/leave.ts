import {Flags} from '@oclif/core';
import type {DeleteResult, LeaveRequest} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderRemoval} from '../../render-resource.js';

export default class ResourceLeave extends MarsCommand {
  static override aliases = ['leave-resource'];
  static override args = {name: resourceArgument};
  static override description =
    'The replicas of the other nodes stay, and need keep no log for this one any more. Refused ' +
    'while the resource is primary here, and without --yes.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --yes',
  ];
  static override flags = {
    'dry-run': Flags.boolean({
      description: 'only show what would be removed and kept',
      default: false,
    }),
    yes: Flags.boolean({char: 'y', description: 'really remove this replica', default: false}),
    timeout: timeoutFlag(120),
  };
  static override summary = 'remove the replica of this node, with its image and log';

  async run(): Promise<DeleteResult> {
    const {args, flags} = await this.parse(ResourceLeave);
    const {timeout} = flags;
    const body: LeaveRequest = {
      ...{dryRun: flags['dry-run'], confirmed: flags.yes, timeoutSeconds: timeout},
    };
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/leave');
    const result = await daemon.post<DeleteResult>(path, body, timeout);
    this.log(renderRemoval(result));
    return result;
  }
}
