import {Flags} from '@oclif/core';
import type {DeleteRequest} from '../../../control/api.js';
import type {FakeSyncResult} from '../../../control/verify-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';

export default class SyncFake extends MarsCommand {
  static override aliases = ['fake-sync'];
  static override args = {name: resourceArgument};
  static override description =
    'For experts: the image here has every byte of the disk already, as both were restored from one backup, or ' +
    'both are new and empty. Nothing is compared; where that is wrong the replica says UpToDate and is not, until ' +
    'mars verify finds it. Without this the copy compares by digests, and moves only what differs. All log of the ' +
    'other node must be in its image. Refused while it is primary, and without --yes.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --dry-run',
    '<%= config.bin %> <%= command.id %> web01 --yes',
  ];
  static override flags = {
    'dry-run': Flags.boolean({
      description: 'only show whose image it would be taken for',
      default: false,
    }),
    yes: Flags.boolean({char: 'y', description: 'they are equal, I know', default: false}),
    timeout: timeoutFlag(120),
  };
  static override summary = 'take the image of this node for a copy, without a look at it';

  async run(): Promise<FakeSyncResult> {
    const {args, flags} = await this.parse(SyncFake);
    const body: DeleteRequest = {dryRun: flags['dry-run'], confirmed: flags.yes};
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/sync/fake');
    const result = await daemon.post<FakeSyncResult>(path, body, flags.timeout);
    this.log(render(result));
    return result;
  }
}

function render({name, dryRun, needed, source, position}: FakeSyncResult): string {
  if (!needed) return `${name}: no image is to be copied here, nothing to do`;
  const image = `the image here ${dryRun ? 'would be' : 'is'} taken for that of ${source ?? ''} at ${position ?? ''}`;
  const next = dryRun
    ? `mars sync fake ${name} --yes`
    : `mars wait ${name} synced, then mars verify ${name}`;
  return `${name}: ${image}\nnext: ${next}`;
}
