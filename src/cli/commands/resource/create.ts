import {resolve} from 'node:path';
import {Flags} from '@oclif/core';
import type {CreateRequest, ResourceView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {
  driverFlag,
  parseDiskSize,
  parseSettings,
  resourceArgument,
  timeoutFlag,
} from '../../options.js';
import {renderCreated} from '../../render-resource.js';

export default class ResourceCreate extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'The image is a sparse file below the home, or the file or block device that --image names. ' +
    'It becomes primary: its image and device can be used at once.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --size 10G',
    '<%= config.bin %> <%= command.id %> web01 --size 10G --image /dev/disk/by-id/wwn-0x5000',
  ];
  static override flags = {
    size: Flags.string({description: 'size such as 10G', required: true, helpValue: 'S'}),
    image: Flags.string({
      description: 'file (made if missing) or block device for the content',
      helpValue: 'PATH',
    }),
    force: Flags.boolean({
      description: 'take over an image that is not empty, with its content',
      default: false,
    }),
    preallocate: Flags.boolean({description: 'reserve the space of the image now', default: false}),
    driver: driverFlag(),
    secondary: Flags.boolean({description: 'do not expose it yet', default: false}),
    history: Flags.string({
      description: 'keep any moment of so long mountable, such as 24h (setting history)',
      helpValue: 'TIME',
    }),
    set: Flags.string({
      description: 'setting, as for mars resource set; may be given again',
      helpValue: 'key=value',
      multiple: true,
      multipleNonGreedy: true,
    }),
    timeout: timeoutFlag(600),
  };
  static override summary = 'create a resource: this node becomes its first replica';

  async run(): Promise<ResourceView> {
    const {args, flags} = await this.parse(ResourceCreate);
    const body: CreateRequest = {
      name: args.name,
      sizeBytes: parseDiskSize(flags.size),
      force: flags.force,
      preallocate: flags.preallocate,
      settings: {
        ...parseSettings(flags.set ?? []),
        ...(flags.history === undefined ? {} : {history: flags.history}),
      },
      ...(flags.image === undefined ? {} : {image: resolve(flags.image)}),
      ...(flags.driver === undefined ? {} : {driver: flags.driver}),
      ...(flags.secondary ? {activate: false} : {}),
    };
    const daemon = connectDaemon(flags.home);
    const view = await daemon.post<ResourceView>('/v1/resources', body, flags.timeout);
    this.log(renderCreated(view));
    return view;
  }
}
