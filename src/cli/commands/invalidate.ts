import {Flags} from '@oclif/core';
import type {DeleteRequest, InvalidateResult} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, resourcePath} from '../daemon.js';
import {resourceArgument, timeoutFlag} from '../options.js';

export default class Invalidate extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'The image is compared with that of another node, chunk by chunk, and copied where it differs; ' +
    'until that is done it cannot become primary. Refused while it is primary, while no other ' +
    'node has a whole replica, and without --yes.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --yes',
  ];
  static override flags = {
    'dry-run': Flags.boolean({
      description: 'only show where it would be copied from',
      default: false,
    }),
    yes: Flags.boolean({char: 'y', description: 'really declare it garbage', default: false}),
    timeout: timeoutFlag(120),
  };
  static override summary = 'declare the replica of this node garbage, and copy it again';

  async run(): Promise<InvalidateResult> {
    const {args, flags} = await this.parse(Invalidate);
    const body: DeleteRequest = {dryRun: flags['dry-run'], confirmed: flags.yes};
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/invalidate');
    const result = await daemon.post<InvalidateResult>(path, body, flags.timeout);
    const {name, dryRun, source} = result;
    this.log(
      dryRun
        ? `${name}: would be compared with ${source}, and copied where it differs`
        : `${name}: is compared with ${source}, and copied where it differs\nnext: mars wait ${name} synced`,
    );
    return result;
  }
}
