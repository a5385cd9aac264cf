import {resolve} from 'node:path';
import {Args, Flags} from '@oclif/core';
import type {JoinRequest, ResourceView} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, resourcePath} from '../daemon.js';
import {resourceArgument, timeoutFlag} from '../options.js';
import {renderJoined} from '../render-resource.js';

/** The name and the order of words that MARS admins know; DISK is the image. */
export default class JoinResource extends MarsCommand {
  static override args = {
    name: resourceArgument,
    disk: Args.string({description: 'file or block device [default: a file below the home]'}),
  };
  static override flags = {
    force: Flags.boolean({
      description: 'take an image that is not empty: what differs is overwritten',
      default: false,
    }),
    timeout: timeoutFlag(600),
  };
  static override hidden = true;
  static override summary = 'old name of mars resource join';

  async run(): Promise<ResourceView> {
    const {args, flags} = await this.parse(JoinResource);
    const body: JoinRequest = {
      force: flags.force,
      ...(args.disk === undefined ? {} : {image: resolve(args.disk)}),
    };
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/join');
    const view = await daemon.post<ResourceView>(path, body, flags.timeout);
    this.log(renderJoined(view));
    return view;
  }
}
