import {Flags} from '@oclif/core';
import type {ForkDiff as ForkDiffDocument} from '../../../control/fork-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument} from '../../options.js';
import {renderForkDiff} from '../../render-fork.js';

const SECONDS = 90;

export default class ForkDiff extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'What each side has written behind the common point, from when to when, and which parts of the ' +
    'disk that are. Read from the logs, no content is compared. Changes nothing.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --ranges',
  ];
  static override flags = {
    ranges: Flags.boolean({description: 'also list the ranges', default: false}),
  };
  static override summary = 'show which parts of the disk differ between two histories';

  async run(): Promise<ForkDiffDocument> {
    const {args, flags} = await this.parse(ForkDiff);
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/fork/diff');
    const diff = await daemon.get<ForkDiffDocument>(path, SECONDS);
    this.log(renderForkDiff(diff, flags.ranges));
    return diff;
  }
}
