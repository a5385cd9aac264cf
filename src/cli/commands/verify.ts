import {Flags} from '@oclif/core';
import type {StatusDocument} from '../../control/api.js';
import type {VerifyDocument, VerifyRequest} from '../../control/verify-api.js';
import {DiskError} from '../../core/errors.js';
import {checkName} from '../../core/names.js';
import {parseSize} from '../../core/units.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, type Daemon} from '../daemon.js';
import {targetArgument, timeoutFlag} from '../options.js';
import {renderVerify} from '../render-verify.js';
import {runVerify, stopVerify, verifyExit} from '../run-verify.js';
import type {TargetsDocument} from '../targets.js';

const DAY_SECONDS = 86_400;
const NOTHING = 'no resource of this node is known to have a replica elsewhere: nothing to compare';

export default class Verify extends MarsCommand {
  static override args = {name: targetArgument};
  static override description =
    'Each other replica is compared with the primary, or, where nobody is primary, with the replica ' +
    'that has the longest log: every block at one position on both sides, while writes go on. ' +
    'Images are only read. The exit status is 6 where something differs. --repair copies what ' +
    'differs from the primary to the replica, never the other way, and compares it again. Ctrl-C ' +
    'ends the comparison; a comparison can be ended at any time without harm.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --with beta --rate 50M',
    '<%= config.bin %> <%= command.id %> web01 --repair --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --repair --yes',
  ];
  static override flags = {
    with: Flags.string({
      description: 'only this replica; the primary: the replica of this node with it',
      helpValue: 'NODE',
      parse: (input) => Promise.resolve(checkName('node', input)),
    }),
    repair: Flags.boolean({
      description: 'copy what differs from the primary to the replica',
      default: false,
    }),
    'dry-run': Flags.boolean({
      description: 'with --repair: compare, and only show what would be copied',
      default: false,
    }),
    yes: Flags.boolean({char: 'y', description: 'really copy it', default: false}),
    rate: Flags.string({
      description: 'bytes of each image that are read in a second at most, such as 50M',
      helpValue: 'SIZE',
    }),
    wait: Flags.boolean({
      description: 'wait for the end; without, it goes on and the status tells',
      default: true,
      allowNo: true,
    }),
    stop: Flags.boolean({
      description: 'end the comparisons that are under way',
      default: false,
      exclusive: ['with', 'repair', 'rate', 'dry-run', 'yes'],
    }),
    timeout: timeoutFlag(DAY_SECONDS),
  };
  static override summary = 'compare the replicas of a resource, and mend what differs';

  async run(): Promise<VerifyDocument | TargetsDocument<VerifyDocument>> {
    const {args, flags} = await this.parse(Verify);
    const wish = {repair: flags.repair, dryRun: flags['dry-run']};
    if (wish.dryRun && !wish.repair) {
      throw new DiskError('USAGE', 'expected --repair beside --dry-run: nothing is copied without');
    }

    const request: VerifyRequest = {
      repair: wish.repair && !wish.dryRun,
      confirmed: flags.yes,
      ...(flags.with === undefined ? {} : {with: flags.with}),
      ...(flags.rate === undefined ? {} : {bytesPerSecond: parseSize(flags.rate)}),
    };
    const daemon = connectDaemon(flags.home);
    const timeoutSeconds = flags.timeout;
    const deadlineMs = flags.wait ? performance.now() + timeoutSeconds * 1000 : Infinity;
    const interrupted = new AbortController();
    const interrupt = (): void => {
      interrupted.abort();
    };
    process.on('SIGINT', interrupt);
    process.on('SIGTERM', interrupt);
    try {
      const answer = await this.forTargets(
        {daemon, target: args.name, parallel: false, nothing: NOTHING},
        (name) => {
          if (flags.stop) return stopVerify(daemon, name);
          return runVerify({
            ...{daemon, name, request, timeoutSeconds, deadlineMs, waits: flags.wait},
            ...{stream: process.stderr, signal: interrupted.signal},
          });
        },
        (document) => {
          this.log(renderVerify(document, wish));
        },
        () => listReplicated(daemon),
      );
      const documents = 'replicas' in answer ? [answer] : answer.resources;
      const exit = flags.stop ? 0 : verifyExit(documents.flatMap(({replicas}) => replicas));
      if (exit !== 0) this.finish(answer, exit);
      return answer;
    } finally {
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', interrupt);
    }
  }
}

/** Names of the resources of this node that others have as well. */
async function listReplicated(daemon: Daemon): Promise<string[]> {
  const {resources} = await daemon.get<StatusDocument>('/v1/status');
  return resources
    .filter(({state, replicas}) => state !== 'NotJoined' && replicas.length > 0)
    .map(({name}) => name);
}
