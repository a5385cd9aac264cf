import {Flags} from '@oclif/core';
import type {PrimaryRequest, ResourceView} from '../../control/api.js';
import {DiskError} from '../../core/errors.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, getStatusOf, resourcePath} from '../daemon.js';
import {describeForce, renderForce, type ForceDocument} from '../forced-role.js';
import {driverFlag, parallelFlag, targetArgument, timeoutFlag} from '../options.js';
import {renderOutcome} from '../render-resource.js';
import type {TargetsDocument} from '../targets.js';
import {remarkWhile} from '../waiting.js';

type PrimaryDocument = ResourceView | ForceDocument;

export default class Primary extends MarsCommand {
  static override args = {name: targetArgument};
  static override description =
    'The image appears at <mounts>/NAME/disk.img and, unless --no-device, as a block device at ' +
    '<devices>/NAME. Where another node is primary it is asked to hand the role over: it refuses ' +
    'while the disk is open there, and goes on as primary if the handover fails. --force asks ' +
    'nobody and goes on with what is here. What the other side acknowledged and this node has not ' +
    'is then a second history (Forked), and what it acknowledged since it was last heard of is ' +
    'not known: first make sure that it is down, or cannot be reached by anybody.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --no-device --driver fuse-native',
    '<%= config.bin %> <%= command.id %> web01 --force --dry-run',
  ];
  static override flags = {
    parallel: parallelFlag,
    device: Flags.boolean({
      description: 'a loop device and its link (default), or only the image file',
      allowNo: true,
      default: true,
    }),
    driver: driverFlag(),
    force: Flags.boolean({
      description: 'also without the consent of the other side: may make two histories',
      default: false,
    }),
    'dry-run': Flags.boolean({
      description: 'with --force: only show what this node has and does not know',
      default: false,
    }),
    timeout: timeoutFlag(60),
  };
  static override summary = 'expose a resource on this node';

  async run(): Promise<PrimaryDocument | TargetsDocument<PrimaryDocument>> {
    const {args, flags} = await this.parse(Primary);
    const daemon = connectDaemon(flags.home);
    if (flags['dry-run']) {
      if (!flags.force) throw new DiskError('USAGE', '--dry-run only goes with --force');
      return this.forTargets(
        {daemon, target: args.name, parallel: flags.parallel},
        async (name) => describeForce(await getStatusOf(daemon, name)),
        (document) => {
          this.log(renderForce(document));
        },
      );
    }

    const body: PrimaryRequest = {
      device: flags.device,
      force: flags.force,
      timeoutSeconds: flags.timeout,
      ...(flags.driver === undefined ? {} : {driver: flags.driver}),
    };
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
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
