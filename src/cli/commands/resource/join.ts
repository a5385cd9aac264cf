import {resolve} from 'node:path';
import {Flags} from '@oclif/core';
import type {DeleteResult, JoinRequest, ResourceView} from '../../../control/api.js';
import {DiskError} from '../../../core/errors.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderJoined, renderRemoval} from '../../render-resource.js';

export default class ResourceJoin extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'The node becomes a secondary; the image is copied from another node in the background: ' +
    'mars wait NAME synced. Size and settings come from there. With --from the source is a folder of ' +
    'exported files (mars log export NAME DIR --base), which is followed from then on; no other node ' +
    'has to be reached. With --replace the replica here is of a resource that was deleted elsewhere, and the name is ' +
    'another one there now: it goes, and the new one is joined.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --image /dev/disk/by-id/wwn-0x5000',
    '<%= config.bin %> <%= command.id %> web01 --from /mnt/usb/web01',
    '<%= config.bin %> <%= command.id %> web01 --replace --dry-run',
  ];
  static override flags = {
    image: Flags.string({
      description: 'file (made if missing) or block device for the content',
      helpValue: 'PATH',
    }),
    force: Flags.boolean({
      description: 'take an image that is not empty: what differs is overwritten',
      default: false,
    }),
    from: Flags.string({
      description: 'folder with exported files, in the place of other nodes',
      helpValue: 'DIR',
    }),
    replace: Flags.boolean({
      description:
        'the replica here is of a resource that is no more (RESOURCE_REPLACED): it goes first',
      default: false,
      exclusive: ['from'],
    }),
    'dry-run': Flags.boolean({
      description: 'with --replace: only show what would be removed',
      default: false,
    }),
    yes: Flags.boolean({
      char: 'y',
      description: 'with --replace: really remove it',
      default: false,
    }),
    preallocate: Flags.boolean({description: 'reserve the space of the image now', default: false}),
    timeout: timeoutFlag(600),
  };
  static override summary = 'keep a replica of a resource of the cluster on this node';

  async run(): Promise<ResourceView | DeleteResult> {
    const {args, flags} = await this.parse(ResourceJoin);
    const {replace, yes, force, preallocate, timeout} = flags;
    // A flag with a default counts as given for oclif's dependsOn.
    if (!replace && (yes || flags['dry-run'])) {
      throw new DiskError(
        'USAGE',
        '--yes and --dry-run go with --replace: a join alone loses nothing',
      );
    }

    const body: JoinRequest = {
      ...{force, preallocate},
      ...(flags.image === undefined ? {} : {image: resolve(flags.image)}),
      ...(flags.from === undefined ? {} : {from: resolve(flags.from)}),
      ...(replace ? {replace, dryRun: flags['dry-run'], confirmed: yes} : {}),
    };
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/join');
    if (flags['dry-run']) {
      const result = await daemon.post<DeleteResult>(path, body, timeout);
      this.log(renderRemoval(result));
      return result;
    }

    const view = await daemon.post<ResourceView>(path, body, timeout);
    this.log(renderJoined(view));
    return view;
  }
}
