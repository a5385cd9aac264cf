import {Args} from '@oclif/core';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {hostFlag, parallelFlag, targetArgument, timeoutFlag} from '../options.js';
import type {TargetsDocument} from '../targets.js';
import {formatSeconds} from '../times.js';
import {parseCondition} from '../wait-condition.js';
import {waitFor, type WaitDocument} from '../wait-for.js';

export default class Wait extends MarsCommand {
  static override aliases = ['wait-resource'];
  static override args = {
    name: targetArgument,
    condition: Args.string({description: 'what to wait for: see below', required: true}),
  };
  static override description =
    'Conditions: primary, secondary, attached, detached, device, no-device, closed, connected, ' +
    'synced, uptodate, fetched, replayed, lag<SECONDS, position>=P. Where the resource is ' +
    'primary, synced, fetched, replayed and lag are about its replicas on the other nodes, else ' +
    'about the one of this node. fetched and replayed mean all that the primary had when the ' +
    'command began. The exit status is 5 when time is up; the message says what is missing.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 synced --timeout 3600',
    "<%= config.bin %> <%= command.id %> web01 'lag<5'",
  ];
  static override flags = {host: hostFlag, parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'wait until a resource is as wished, for scripts';

  async run(): Promise<WaitDocument | TargetsDocument<WaitDocument>> {
    const {args, flags} = await this.parse(Wait);
    const {condition} = args;
    parseCondition(condition);
    const daemon = connectDaemon(flags.home, flags.host);
    const deadlineMs = performance.now() + flags.timeout * 1000;
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) =>
        waitFor({
          ...{daemon, name, condition, deadlineMs},
          ...{timeoutSeconds: flags.timeout, stream: process.stderr},
        }),
      ({name, waitedSeconds}) => {
        this.log(`${name}: ${condition} after ${formatSeconds(waitedSeconds)}`);
      },
    );
  }
}
