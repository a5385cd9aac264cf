import {Flags} from '@oclif/core';
import type {PrimaryRequest, ResourceView} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, resourcePath} from '../daemon.js';
import {driverFlag, targetArgument, timeoutFlag} from '../options.js';
import {renderOutcome} from '../render-resource.js';
import type {TargetsDocument} from '../targets.js';
import {remarkWhile} from '../waiting.js';

export default class Primary extends MarsCommand {
  static override args = {name: targetArgument};
  static override description =
    'The image appears at <mounts>/NAME/disk.img and, unless --no-device, as a block device at ' +
    '<devices>/NAME.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --no-device --driver fuse-native',
  ];
  static override flags = {
    device: Flags.boolean({
      description: 'a loop device and its link (default), or only the image file',
      allowNo: true,
      default: true,
    }),
    driver: driverFlag(),
    force: Flags.boolean({
      description: 'also without the consent of the other side',
      default: false,
    }),
    timeout: timeoutFlag(60),
  };
  static override summary = 'expose a resource on this node';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(Primary);
    const daemon = connectDaemon(flags.home);
    const body: PrimaryRequest = {
      device: flags.device,
      force: flags.force,
      timeoutSeconds: flags.timeout,
      ...(flags.driver === undefined ? {} : {driver: flags.driver}),
    };
    return this.forTargets(
      daemon,
      args.name,
      (name) =>
        remarkWhile(
          daemon.post<ResourceView>(resourcePath(name, '/primary'), body, flags.timeout),
          {
            ...{daemon, name, goal: 'become primary', timeoutSeconds: flags.timeout},
            remark: this.remark.bind(this),
          },
        ),
      (view) => {
        this.log(renderOutcome(view));
      },
    );
  }
}
