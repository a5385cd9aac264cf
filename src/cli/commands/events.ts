import {Flags} from '@oclif/core';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {hostFlag, optionalTargetArgument} from '../options.js';
import {choosePaint} from '../paint.js';
import {renderEvent} from '../render-event.js';

export default class Events extends MarsCommand {
  static override aliases = ['show-errors'];
  static override args = {name: optionalTargetArgument};
  static override description = 'With --json each line of stdout is one JSON document.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> web01 --follow --json',
    '<%= config.bin %> <%= command.id %> --host beta',
  ];
  static override flags = {
    host: hostFlag,
    follow: Flags.boolean({
      char: 'f',
      description: 'go on with new events, until Ctrl-C',
      default: false,
    }),
  };
  static override summary = 'show what happened on a node';

  /** An error is one more line. */
  override logJson(json: unknown): void {
    process.stdout.write(`${JSON.stringify(json)}\n`);
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(Events);
    const query = new URLSearchParams();
    if (flags.follow) query.set('follow', '1');
    if (args.name !== undefined && args.name !== 'all') query.set('resource', args.name);
    const suffix = query.size === 0 ? '' : `?${query.toString()}`;
    const paint = choosePaint(process.stdout);
    let isEmpty = true;
    for await (const event of connectDaemon(flags.home, flags.host).lines(`/v1/events${suffix}`)) {
      isEmpty = false;
      process.stdout.write(
        this.jsonEnabled() ? `${JSON.stringify(event)}\n` : `${renderEvent(event, paint)}\n`,
      );
    }

    // Also of one that was deleted there are some: a name without any is perhaps a wrong one.
    if (isEmpty && args.name !== undefined) this.remark(`no events of ${args.name} on this node`);
  }
}
