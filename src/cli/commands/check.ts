import {Errors, Flags} from '@oclif/core';
import type {StatusDocument} from '../../control/api.js';
import {LAG_SECONDS_WARNING} from '../../control/health.js';
import {EXIT} from '../../core/codes.js';
import {parseDuration, parseSize} from '../../core/units.js';
import {MarsCommand} from '../base-command.js';
import {parseLimits, parsePercent, parseSeconds, parseVerifyAge} from '../check-limits.js';
import {connectDaemon} from '../daemon.js';
import {exitOf, failureBody, toDiskError} from '../failure.js';
import {judgeCheck} from '../judge-check.js';
import {hostFlag, optionalTargetArgument} from '../options.js';
import {checkDocument, renderCheck, unknownDocument, type CheckDocument} from '../render-check.js';

export default class Check extends MarsCommand {
  static override args = {name: optionalTargetArgument};
  static override description =
    'For Nagios, Icinga and cron: one line with the verdict, the reasons and, behind |, lag, log ' +
    'and free space as numbers. Exit status 0 OK, 1 WARNING, 2 CRITICAL (also for a wrong word on ' +
    'the command line), 3 UNKNOWN. What is not known is never OK; what mars status does not call ' +
    'well is never OK either, whatever the limits.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> web01 --warn-lag 10 --crit-lag 120 --crit-lag-bytes 5G',
    '<%= config.bin %> <%= command.id %> --warn-space 30 --crit-space 10 --json',
  ];
  static override flags = {
    host: hostFlag,
    'warn-lag': Flags.string({
      description: `WARNING where a replica is more seconds behind, at most ${LAG_SECONDS_WARNING}`,
      default: String(LAG_SECONDS_WARNING),
      helpValue: 'S',
    }),
    'crit-lag': Flags.string({
      description: 'CRITICAL where a replica is, or was last heard of, more seconds behind',
      default: '300',
      helpValue: 'S',
    }),
    'warn-lag-bytes': Flags.string({
      description: 'WARNING where a replica is more bytes behind, such as 512M',
      helpValue: 'SIZE',
    }),
    'crit-lag-bytes': Flags.string({
      description: 'CRITICAL where a replica is more bytes behind',
      helpValue: 'SIZE',
    }),
    'warn-space': Flags.string({
      description: 'WARNING where less percent are free on the file system of a log',
      default: '10',
      helpValue: 'PERCENT',
    }),
    'crit-space': Flags.string({
      description: 'CRITICAL where less percent are free there',
      default: '5',
      helpValue: 'PERCENT',
    }),
    'warn-full-in': Flags.string({
      description:
        'WARNING where nothing is free there so soon, at the growth of the last half hour',
      default: '3h',
      helpValue: 'TIME',
    }),
    'crit-full-in': Flags.string({
      description: 'CRITICAL where that is so soon',
      default: '30m',
      helpValue: 'TIME',
    }),
    'warn-verify-age': Flags.string({
      description:
        'WARNING where a replica was not compared to the end by mars verify for so long, such as 8d',
      helpValue: 'TIME',
    }),
    'crit-verify-age': Flags.string({
      description: 'CRITICAL where it was not for so long',
      helpValue: 'TIME',
    }),
  };
  static override summary = 'one line and an exit status for monitoring';

  async run(): Promise<CheckDocument> {
    const {args, flags} = await this.parse(Check);
    const thresholds = {
      lagSeconds: parseLimits(flags, 'lag', parseSeconds),
      lagBytes: parseLimits(flags, 'lag-bytes', parseSize),
      space: parseLimits(flags, 'space', parsePercent),
      fullIn: parseLimits(flags, 'full-in', parseDuration),
      verifyAge: parseVerifyAge(flags),
    };
    const name = args.name === 'all' ? undefined : args.name;
    const query = name === undefined ? '' : `?resource=${encodeURIComponent(name)}`;
    const status = await connectDaemon(flags.home, flags.host).get<StatusDocument>(
      `/v1/status${query}`,
    );
    const judgement = judgeCheck(status, name, thresholds);
    const document = checkDocument(status.node, status.resources.length, judgement);
    this.log(renderCheck(document));
    if (document.exit !== 0) this.finish(document, document.exit);
    return document;
  }

  /**
   * Monitoring reads stdout, and would take the exit status of a bug for a verdict. A wrong word is
   * refused as by every command.
   */
  protected override catch(error: Error): Promise<never> {
    const failure = toDiskError(error);
    if (error instanceof Errors.ExitError || exitOf(failure.code) === EXIT.usage) {
      return super.catch(error);
    }

    const document = unknownDocument(failureBody(failure, this.id));
    this.log(renderCheck(document));
    return this.finish(document, document.exit);
  }
}
