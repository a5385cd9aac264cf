import {Flags} from '@oclif/core';
import type {
  HistoryAbortRequest,
  HistoryAbortResult,
  HistoryRollbackRequest,
  HistoryRollbackResult,
} from '../../../control/history-api.js';
import {DiskError} from '../../../core/errors.js';
import {parseWhen, WHEN_RULE} from '../../../core/when.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath, type Daemon} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderAbort, renderRollback} from '../../render-rollback.js';
import {waitForRollback} from '../../run-rollback.js';

const HOUR_SECONDS = 3600;
/** The log since the moment is read before it begins. */
const BEGIN_SECONDS = 600;

export default class HistoryRollback extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    `Type it on the primary, with nothing mounted or open. WHEN is ${WHEN_RULE}. What was changed since is ` +
    `written again as it was then, so the replicas follow, and the log goes on: the moment before is a mark, and ` +
    `rolling back to it undoes this, as long as the history keeps it. Without a history that is not for long: then ` +
    `--yes is asked for. It takes as much log as was changed since, and goes on by itself after any crash.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --to before-upgrade --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --to "2026-11-22 10:15"',
    '<%= config.bin %> <%= command.id %> web01 --abort',
  ];
  static override flags = {
    to: Flags.string({description: 'the moment', helpValue: 'WHEN', exclusive: ['abort']}),
    'dry-run': Flags.boolean({
      description: 'only show what would be taken back, and the room it needs',
      default: false,
      exclusive: ['abort'],
    }),
    abort: Flags.boolean({
      description: 'go back to what the disk was before the rollback that is under way',
      default: false,
    }),
    force: Flags.boolean({
      description: 'with --abort: leave the disk as it is now, a mixture',
      default: false,
      dependsOn: ['abort'],
    }),
    yes: Flags.boolean({
      char: 'y',
      description: 'also where nothing keeps what is taken back',
      default: false,
      exclusive: ['abort'],
    }),
    timeout: timeoutFlag(HOUR_SECONDS),
  };
  static override summary = 'make a disk again what it was at a moment';

  async run(): Promise<HistoryRollbackResult | HistoryAbortResult> {
    const {args, flags} = await this.parse(HistoryRollback);
    const {to, abort, force, timeout} = flags;
    const daemon = connectDaemon(flags.home);
    if (abort) return this.#abort(daemon, args.name, force, timeout);
    if (to === undefined) throw new DiskError('USAGE', 'expected --to WHEN, or --abort');
    const dryRun = flags['dry-run'];
    const body: HistoryRollbackRequest = {
      ...{to: parseWhen(to, Date.now()), asked: to, dryRun, confirmed: flags.yes},
    };
    const path = resourcePath(args.name, '/history/rollback');
    const result = await daemon.post<HistoryRollbackResult>(path, body, BEGIN_SECONDS);
    // A daemon of before says only the first.
    if (result.undo !== null || result.running)
      await this.#wait(daemon, args.name, result.position, timeout);
    this.log(renderRollback(result));
    return result;
  }

  async #abort(
    daemon: Daemon,
    name: string,
    force: boolean,
    timeoutSeconds: number,
  ): Promise<HistoryAbortResult> {
    const path = resourcePath(name, '/history/rollback/abort');
    const body: HistoryAbortRequest = {force};
    const result = await daemon.post<HistoryAbortResult>(path, body, BEGIN_SECONDS);
    if (result.position !== null) await this.#wait(daemon, name, result.position, timeoutSeconds);
    this.log(renderAbort(result));
    return result;
  }

  #wait(daemon: Daemon, name: string, position: string, timeoutSeconds: number): Promise<void> {
    return waitForRollback({daemon, name, position, timeoutSeconds, stream: process.stderr});
  }
}
