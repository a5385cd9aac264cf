import type {ResizeRequest, ResourceView} from '../../../control/api.js';
import {formatBytes} from '../../../core/units.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {parseDiskSize, resourceArgument, sizeArgument, timeoutFlag} from '../../options.js';

export default class ResourceResize extends MarsCommand {
  static override aliases = ['resize'];
  static override args = {name: resourceArgument, size: sizeArgument};
  static override description =
    'Image, log and loop device grow while they are in use; then grow the file system on it: ' +
    'resize2fs DEVICE, or xfs_growfs MOUNTPOINT. A disk never shrinks.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01 20G'];
  static override flags = {timeout: timeoutFlag(120)};
  static override summary = 'grow a resource online';

  async run(): Promise<ResourceView> {
    const {args, flags} = await this.parse(ResourceResize);
    const body: ResizeRequest = {sizeBytes: parseDiskSize(args.size)};
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/resize');
    const view = await daemon.post<ResourceView>(path, body, flags.timeout);
    this.log(`${view.name} has ${formatBytes(view.sizeBytes)}; now grow the file system on it`);
    return view;
  }
}
