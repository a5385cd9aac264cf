import {resolve} from 'node:path';
import {Flags} from '@oclif/core';
import type {HistoryMountRequest, MountedMoment} from '../../../control/history-api.js';
import {parseWhen, WHEN_RULE} from '../../../core/when.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderMounted} from '../../render-history.js';

export default class HistoryMount extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    `The image, and a loop device on it, are the disk as of that moment, beside the disk itself, which goes ` +
    `on. WHEN is ${WHEN_RULE}. While it is mounted the log from there on is kept; where that takes too much ` +
    `room the moment is lost (HISTORY_LOST), never a write. It does not outlive a reboot.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 --at -10min',
    '<%= config.bin %> <%= command.id %> web01 --at "2026-11-22 10:15"',
    '<%= config.bin %> <%= command.id %> web01 --at before-upgrade --writable',
  ];
  static override flags = {
    at: Flags.string({description: 'the moment', required: true, helpValue: 'WHEN'}),
    writable: Flags.boolean({
      description: 'a clone that can be written to; disk and log stay as they are',
      default: false,
    }),
    to: Flags.string({
      description: 'empty directory to mount it at',
      helpValue: 'DIR',
      parse: (input) => Promise.resolve(resolve(input)),
    }),
    device: Flags.boolean({
      description: 'a loop device on the image',
      default: true,
      allowNo: true,
    }),
    timeout: timeoutFlag(300),
  };
  static override summary = 'mount a disk as it was at a moment';

  async run(): Promise<MountedMoment> {
    const {args, flags} = await this.parse(HistoryMount);
    const {at, writable, to, device, timeout} = flags;
    const body: HistoryMountRequest = {
      ...{at: parseWhen(at, Date.now()), asked: at, writable, device, timeoutSeconds: timeout},
      ...(to === undefined ? {} : {to}),
    };
    const path = resourcePath(args.name, '/history/mount');
    const mounted = await connectDaemon(flags.home).post<MountedMoment>(path, body, timeout);
    this.log(renderMounted(mounted));
    return mounted;
  }
}
