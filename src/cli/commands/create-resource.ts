import {resolve} from 'node:path';
import {Args, Flags} from '@oclif/core';
import type {CreateRequest, ResourceView} from '../../control/api.js';
import {createNodeFiles} from '../../core/files.js';
import {storeError} from '../../core/errors.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {parseDiskSize, resourceArgument, timeoutFlag} from '../options.js';
import {renderCreated} from '../render-resource.js';

/** The name and the order of words that MARS admins know; DISK is the image. */
export default class CreateResource extends MarsCommand {
  static override args = {
    name: resourceArgument,
    disk: Args.string({description: 'file or block device for the content', required: true}),
    size: Args.string({description: 'size such as 10G [default: the size of DISK]'}),
  };
  static override flags = {
    force: Flags.boolean({
      description: 'take over an image that is not empty, with its content',
      default: false,
    }),
    timeout: timeoutFlag(600),
  };
  static override hidden = true;
  static override summary = 'old name of mars resource create';

  async run(): Promise<ResourceView> {
    const {args, flags} = await this.parse(CreateResource);
    const image = resolve(args.disk);
    const body: CreateRequest = {
      name: args.name,
      sizeBytes: args.size === undefined ? sizeOfDisk(image) : parseDiskSize(args.size),
      image,
      force: flags.force,
    };
    const daemon = connectDaemon(flags.home);
    const view = await daemon.post<ResourceView>('/v1/resources', body, flags.timeout);
    this.log(renderCreated(view));
    return view;
  }
}

function sizeOfDisk(path: string): number {
  const files = createNodeFiles();
  try {
    const fd = files.open(path, 'read');
    try {
      return files.sizeOf(fd);
    } finally {
      files.close(fd);
    }
  } catch (error) {
    throw storeError(error, `read the size of ${path}`);
  }
}
