import {Args} from '@oclif/core';
import type {HistoryMarkRequest, HistoryMarkResult} from '../../../control/history-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';

export default class HistoryMark extends MarsCommand {
  static override args = {
    name: resourceArgument,
    label: Args.string({description: 'name of the moment, such as before-upgrade', required: true}),
  };
  static override description =
    'Only where the resource is primary; replicas get the mark with the log. What an application still ' +
    'holds in memory is not in it: let it flush first. A label that is used again names the newest moment.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01 before-upgrade'];
  static override flags = {timeout: timeoutFlag(60)};
  static override summary = 'give the moment a name';

  async run(): Promise<HistoryMarkResult> {
    const {args, flags} = await this.parse(HistoryMark);
    const body: HistoryMarkRequest = {label: args.label};
    const path = resourcePath(args.name, '/history/mark');
    const daemon = connectDaemon(flags.home);
    const result = await daemon.post<HistoryMarkResult>(path, body, flags.timeout);
    this.log(`${result.label}: position ${result.position}`);
    return result;
  }
}
