import {resolve} from 'node:path';
import {Flags} from '@oclif/core';
import type {JoinRequest, ResourceView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderJoined} from '../../render-resource.js';

export default class ResourceJoin extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'The node becomes a secondary; the image is copied from another node in the background: ' +
    'mars wait NAME synced. Size and settings come from there. With --from the source is a folder of ' +
    'exported files (mars log export NAME DIR --base), which is followed from then on; no other node ' +
    'has to be reached.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --image /dev/disk/by-id/wwn-0x5000',
    '<%= config.bin %> <%= command.id %> web01 --from /mnt/usb/web01',
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
    preallocate: Flags.boolean({description: 'reserve the space of the image now', default: false}),
    timeout: timeoutFlag(600),
  };
  static override summary = 'keep a replica of a resource of the cluster on this node';

  async run(): Promise<ResourceView> {
    const {args, flags} = await this.parse(ResourceJoin);
    const body: JoinRequest = {
      force: flags.force,
      preallocate: flags.preallocate,
      ...(flags.image === undefined ? {} : {image: resolve(flags.image)}),
      ...(flags.from === undefined ? {} : {from: resolve(flags.from)}),
    };
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/join');
    const view = await daemon.post<ResourceView>(path, body, flags.timeout);
    this.log(renderJoined(view));
    return view;
  }
}
