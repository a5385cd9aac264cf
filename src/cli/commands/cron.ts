import {Flags} from '@oclif/core';
import type {CareResult} from '../../control/care-api.js';
import {DiskError} from '../../core/errors.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {exitOf} from '../failure.js';
import {careFor} from '../offline-care.js';
import {renderCare} from '../render-care.js';
import {requireRoot} from '../root-user.js';

export default class Cron extends MarsCommand {
  static override description =
    'Ends logfiles that are a day old, gives up what nobody needs, and removes what crashes left. ' +
    'Safe at any time, twice at once, and with or without a daemon, which does the same every ' +
    'hour. Says what it did, and nothing where there was nothing to do.';
  static override examples = ['<%= config.bin %> <%= command.id %> --dry-run'];
  static override flags = {
    'dry-run': Flags.boolean({description: 'only show what would be done', default: false}),
  };
  static override summary = 'housekeeping: rotate, prune and purge what is due';

  async run(): Promise<CareResult> {
    const {flags} = await this.parse(Cron);
    requireRoot('cron');
    const result = await careFor(connectDaemon(flags.home), {dryRun: flags['dry-run']});
    for (const line of renderCare(result)) this.log(line);
    const failed = result.resources.flatMap(({error}) => error ?? []);
    const errors = failed.map(({code, message, details}) => new DiskError(code, message, details));
    for (const error of errors) this.remark(`mars: ${error.message} (${error.code})`);
    const [first] = errors;
    if (first !== undefined) this.finish(result, exitOf(first.code));
    return result;
  }
}
