import {Args} from '@oclif/core';
import type {SyncLimitRequest, SyncLimitView} from '../../../control/api.js';
import {DiskError} from '../../../core/errors.js';
import {SYNC_LIMIT_MAX} from '../../../core/limits.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {renderSyncLimit} from '../../render-flow.js';

const PATH = '/v1/sync-limit';
const SECONDS = 10;

export default class SyncLimit extends MarsCommand {
  static override aliases = ['set-sync-limit-value'];
  static override args = {
    limit: Args.string({
      description: 'images at once; 0: any number',
      parse: (input) => Promise.resolve(checkLimit(input)),
    }),
  };
  static override description =
    'Counts for all resources of this node together. The others wait in the order in which they ' +
    'began to want a copy, and say for whom; what runs is not broken off by a smaller number. ' +
    'Without a number: shows what runs and who waits.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> 2',
  ];
  static override summary = 'how many images this node copies from others at once';

  async run(): Promise<SyncLimitView> {
    const {args, flags} = await this.parse(SyncLimit);
    const daemon = connectDaemon(flags.home);
    const view =
      args.limit === undefined
        ? await daemon.get<SyncLimitView>(PATH)
        : await daemon.post<SyncLimitView>(
            PATH,
            {limit: Number(args.limit)} satisfies SyncLimitRequest,
            SECONDS,
          );
    this.log(renderSyncLimit(view));
    return view;
  }
}

function checkLimit(input: string): string {
  if (/^\d{1,4}$/u.test(input) && Number(input) <= SYNC_LIMIT_MAX) return input;
  throw new DiskError('USAGE', `expected a number from 0 to ${SYNC_LIMIT_MAX}, got '${input}'`);
}
