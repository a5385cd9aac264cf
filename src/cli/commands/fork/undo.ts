import {Flags} from '@oclif/core';
import type {ForkBranchRequest, ForkUndoResult} from '../../../control/fork-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {branchFlag, resourceArgument, timeoutFlag} from '../../options.js';
import {renderForkUndo} from '../../render-fork.js';

export default class ForkUndo extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'Type it on the node that gave way: image and log are again what they were at the end of its ' +
    'branch, and the resource is forked as before. Then decide once more: mars fork resolve on the ' +
    'other node, with --keep and the name of this one. The branch stays kept. Refused while it is ' +
    'primary, and without --yes.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --yes',
  ];
  static override flags = {
    branch: branchFlag,
    'dry-run': Flags.boolean({description: 'only show what would be done', default: false}),
    yes: Flags.boolean({char: 'y', description: 'really bring it back', default: false}),
    timeout: timeoutFlag(600),
  };
  static override summary = 'bring back the history that this node gave up';

  async run(): Promise<ForkUndoResult> {
    const {args, flags} = await this.parse(ForkUndo);
    const {branch, yes, timeout} = flags;
    const body: ForkBranchRequest = {
      ...(branch === undefined ? {} : {branch}),
      ...{dryRun: flags['dry-run'], confirmed: yes, timeoutSeconds: timeout},
    };
    const path = resourcePath(args.name, '/fork/undo');
    const result = await connectDaemon(flags.home).post<ForkUndoResult>(path, body, timeout);
    this.log(renderForkUndo(result));
    return result;
  }
}
