import {isAbsolute} from 'node:path';
import {Flags} from '@oclif/core';
import {DiskError} from '../../../core/errors.js';
import {checkName} from '../../../core/names.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {move, type MoveDocument} from '../../move.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderMove} from '../../render-resource.js';

export default class ResourceMove extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'Said on the node whose replica is to go. The other node joins and copies; where this node is ' +
    'primary it hands over, which needs the disk closed at that moment; then the replica here is ' +
    'removed, when the other side has said that it holds everything. Each step is looked up ' +
    'before it is done: a command that was broken off is said again, and goes on.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --to beta --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --to beta',
  ];
  static override flags = {
    to: Flags.string({
      description: 'name of the node that takes it',
      required: true,
      helpValue: 'NODE',
      parse: (input) => Promise.resolve(checkName('node', input)),
    }),
    image: Flags.string({
      description: 'file (made if missing) or block device over there',
      helpValue: 'PATH',
      parse: (input) => Promise.resolve(checkImage(input)),
    }),
    keep: Flags.boolean({description: 'do not remove the replica here', default: false}),
    'dry-run': Flags.boolean({description: 'only show the steps and their state', default: false}),
    timeout: timeoutFlag(3600),
  };
  static override summary =
    'move the replica of this node to another one: join, sync, handover, leave';

  async run(): Promise<MoveDocument> {
    const {args, flags} = await this.parse(ResourceMove);
    const document = await move({
      ...{daemon: connectDaemon(flags.home), name: args.name, to: flags.to, keep: flags.keep},
      image: flags.image,
      dryRun: flags['dry-run'],
      timeoutSeconds: flags.timeout,
      stream: process.stderr,
      remark: this.remark.bind(this),
      planned: (plan) => {
        this.log(renderMove(plan));
      },
    });
    if (!flags['dry-run']) this.log(`${args.name} has moved to ${flags.to}`);
    return document;
  }
}

/** Not made absolute: the directory here says nothing of the other node. */
function checkImage(path: string): string {
  if (isAbsolute(path)) return path;
  const text = `--image: expected an absolute path on the other node, got '${path}'`;
  throw new DiskError('USAGE', text, {path});
}
