import {Args, Flags} from '@oclif/core';
import type {HistoryUnmountRequest, HistoryUnmountResult} from '../../../control/history-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';

export default class HistoryUnmount extends MarsCommand {
  static override args = {
    name: resourceArgument,
    moment: Args.string({description: 'as mars history list shows it; the only one if not given'}),
  };
  static override description =
    'Refused while somebody uses the image or its device. What was written to a clone is removed with it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --all',
  ];
  static override flags = {
    all: Flags.boolean({description: 'all moments of the resource', default: false}),
    timeout: timeoutFlag(120),
  };
  static override summary = 'take a mounted moment away';

  async run(): Promise<HistoryUnmountResult> {
    const {args, flags} = await this.parse(HistoryUnmount);
    const body: HistoryUnmountRequest = {
      all: flags.all,
      ...(args.moment === undefined ? {} : {moment: args.moment}),
    };
    const path = resourcePath(args.name, '/history/unmount');
    const daemon = connectDaemon(flags.home);
    const result = await daemon.post<HistoryUnmountResult>(path, body, flags.timeout);
    const {unmounted} = result;
    this.log(unmounted.length === 0 ? 'nothing is mounted' : `unmounted: ${unmounted.join(', ')}`);
    return result;
  }
}
