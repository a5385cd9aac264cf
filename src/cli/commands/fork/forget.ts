import {Flags} from '@oclif/core';
import type {ForkBranchRequest, ForkForgetResult} from '../../../control/fork-api.js';
import {formatBytes} from '../../../core/units.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {branchFlag, resourceArgument, timeoutFlag} from '../../options.js';

export default class ForkForget extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'Frees its space. What it holds is then on no node any more, and mars fork undo has nothing ' +
    'to bring back. Refused without --yes.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --branch 9f31c0de-0000000000002000 --yes',
  ];
  static override flags = {
    branch: branchFlag,
    'dry-run': Flags.boolean({description: 'only show what would be removed', default: false}),
    yes: Flags.boolean({char: 'y', description: 'really drop it', default: false}),
    timeout: timeoutFlag(60),
  };
  static override summary = 'drop a branch that gave way and is kept on this node';

  async run(): Promise<ForkForgetResult> {
    const {args, flags} = await this.parse(ForkForget);
    const {branch, yes, timeout} = flags;
    const body: ForkBranchRequest = {
      ...(branch === undefined ? {} : {branch}),
      ...{dryRun: flags['dry-run'], confirmed: yes, timeoutSeconds: timeout},
    };
    const path = resourcePath(args.name, '/fork/forget');
    const result = await connectDaemon(flags.home).post<ForkForgetResult>(path, body, timeout);
    const verb = result.dryRun ? 'would remove' : 'removed';
    this.log(`${verb} ${result.directory} (${formatBytes(result.bytes)})`);
    return result;
  }
}
