import {Flags} from '@oclif/core';
import type {DeleteRequest, DeleteResult} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderRemoval} from '../../render-resource.js';

export default class ResourceDelete extends MarsCommand {
  static override aliases = ['delete-resource'];
  static override args = {name: resourceArgument};
  static override description =
    'Refused while the resource is primary, and without --yes. An image that mars did not make ' +
    '(--image of a file that was there, or a block device) is kept.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --yes',
  ];
  static override flags = {
    'dry-run': Flags.boolean({
      description: 'only show what would be removed and kept',
      default: false,
    }),
    yes: Flags.boolean({char: 'y', description: 'really destroy the data', default: false}),
    timeout: timeoutFlag(120),
  };
  static override summary = 'delete a resource with its image and log';

  async run(): Promise<DeleteResult> {
    const {args, flags} = await this.parse(ResourceDelete);
    const body: DeleteRequest = {dryRun: flags['dry-run'], confirmed: flags.yes};
    const daemon = connectDaemon(flags.home);
    const result = await daemon.remove<DeleteResult>(resourcePath(args.name), body, flags.timeout);
    this.log(renderRemoval(result));
    return result;
  }
}
