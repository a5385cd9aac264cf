import {Flags} from '@oclif/core';
import {installUnits} from '../../../control/units.js';
import {MarsCommand} from '../../base-command.js';
import {requireRoot} from '../../root-user.js';

interface InstallDocument {
  readonly schema: 1;
  readonly dryRun: boolean;
  readonly files: readonly {readonly path: string; readonly text: string}[];
}

export default class DaemonInstall extends MarsCommand {
  static override description =
    'Each disk gets a unit of its own, so that it outlives the daemon and stops after the file ' +
    'systems on it. A timer, or a cron file where there is no systemd, runs mars cron.';
  static override examples = ['<%= config.bin %> <%= command.id %> --dry-run'];
  static override flags = {
    'dry-run': Flags.boolean({description: 'only print the files', default: false}),
  };
  static override summary = 'write the systemd units and the cron file for this node';

  async run(): Promise<InstallDocument> {
    const {flags} = await this.parse(DaemonInstall);
    const dryRun = flags['dry-run'];
    if (!dryRun) requireRoot('daemon install');
    const installation = this.config.root;
    const files = installUnits(
      {home: flags.home, node: process.execPath, installation},
      '/',
      dryRun,
    );
    for (const {path, text} of files) this.log(dryRun ? `# ${path}\n${text}` : `wrote ${path}`);
    if (!dryRun)
      this.log('next: systemctl daemon-reload && systemctl enable --now mars mars-cron.timer');
    return {schema: 1, dryRun, files};
  }
}
