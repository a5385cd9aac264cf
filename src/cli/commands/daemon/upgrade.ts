import {Flags} from '@oclif/core';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {CommandFailure, renderFailure, toDiskError} from '../../failure.js';
import {timeoutFlag} from '../../options.js';
import {renderRenewed} from '../../render-daemon.js';
import {requireRoot} from '../../root-user.js';
import {upgrade, type UpgradeDocument} from '../../upgrade.js';

export default class DaemonUpgrade extends MarsCommand {
  static override description =
    'To be said after another version was installed. The new programs are tried first; then the ' +
    'daemon is restarted, by systemd where it is a unit, and adopts the disks; then disk ' +
    'processes are renewed one after the other. Applications wait a moment and see no error. A ' +
    'daemon that was started by hand starts its successor itself: the pid is another one then. ' +
    'May be broken off and said again.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --disks-only',
  ];
  static override flags = {
    'disks-only': Flags.boolean({
      description: 'the daemon was restarted already, by whoever supervises it',
      default: false,
    }),
    timeout: timeoutFlag(120),
  };
  static override summary =
    'restart daemon and disk processes with the installed version, under load';

  async run(): Promise<UpgradeDocument> {
    const {flags} = await this.parse(DaemonUpgrade);
    requireRoot('daemon upgrade');
    let failure: CommandFailure | undefined;
    const document = await upgrade({
      daemon: connectDaemon(flags.home),
      installation: this.config.root,
      version: this.config.version,
      disksOnly: flags['disks-only'],
      timeoutSeconds: flags.timeout,
      remark: this.remark.bind(this),
      shown: (result) => {
        this.log(renderRenewed(result));
      },
      failed: (name, error) => {
        const shown = toDiskError(error);
        this.logToStderr(`${name}:\n${renderFailure(shown)}`);
        failure ??= new CommandFailure(shown);
      },
    });
    if (failure !== undefined) this.finish(document, failure.oclif.exit ?? 1);
    const {version, pid} = document.daemon.after;
    this.log(`daemon ${version} runs, pid ${pid ?? '-'}`);
    return document;
  }
}
