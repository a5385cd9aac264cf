import {Flags} from '@oclif/core';
import type {CutRequest, CutResult, CutUndoResult} from '../../../control/cut-api.js';
import {DiskError} from '../../../core/errors.js';
import {formatPosition, parsePosition} from '../../../core/position.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath, type Daemon} from '../../daemon.js';
import {resourceArgument} from '../../options.js';
import {renderCut, renderCutUndo} from '../../render-cut.js';

const TIMEOUT_SECONDS = 600;

export default class LogCut extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'For a log that is damaged (LOG_CORRUPT) and that no other node has: the disk is then what it was at the ' +
    'last good record. A dry run says what is lost. What is taken out is kept below cuts/, and --undo puts it ' +
    'back as long as the disk was not primary since. Refused while it is served, while a replica that is known ' +
    'has more of the log, and without --yes. A log in order is left as it is.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --at 00000001a2f3c410 --yes',
    '<%= config.bin %> <%= command.id %> web01 --undo --yes',
  ];
  static override flags = {
    at: Flags.string({
      description: 'position that the dry run said; refused where it would be another one by now',
      helpValue: 'POSITION',
      parse: (input) => Promise.resolve(checkPosition(input)),
      exclusive: ['undo'],
    }),
    'dry-run': Flags.boolean({description: 'only show what would be lost', default: false}),
    force: Flags.boolean({
      description: 'also where the image is then no state that the disk ever had',
      default: false,
      exclusive: ['undo'],
    }),
    undo: Flags.boolean({description: 'put back what was cut last', default: false}),
    yes: Flags.boolean({char: 'y', description: 'really cut it', default: false}),
  };
  static override summary = 'take the loss where a log is damaged and nobody has the good copy';

  async run(): Promise<CutResult | CutUndoResult> {
    const {args, flags} = await this.parse(LogCut);
    const {at, force, yes, undo} = flags;
    const daemon = connectDaemon(flags.home);
    const wish = {dryRun: flags['dry-run'], confirmed: yes};
    if (undo) return this.#undo(daemon, args.name, wish);
    const body: CutRequest = {...wish, force, ...(at === undefined ? {} : {at})};
    const path = resourcePath(args.name, '/log/cut');
    const result = await daemon.post<CutResult>(path, body, TIMEOUT_SECONDS);
    this.log(renderCut(result));
    return result;
  }

  async #undo(
    daemon: Daemon,
    name: string,
    wish: {readonly dryRun: boolean; readonly confirmed: boolean},
  ): Promise<CutUndoResult> {
    const path = resourcePath(name, '/log/cut/undo');
    const result = await daemon.post<CutUndoResult>(path, wish, TIMEOUT_SECONDS);
    this.log(renderCutUndo(result));
    return result;
  }
}

function checkPosition(input: string): string {
  const position = parsePosition(input);
  if (position !== undefined) return formatPosition(position);
  const text = `expected a position such as 00000001a2f3c410, got '${input}'`;
  throw new DiskError('USAGE', text, {value: input});
}
