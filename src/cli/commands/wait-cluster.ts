import {OldWaitCommand} from '../old-wait-command.js';

/** As MARS admins know it. */
export default class WaitCluster extends OldWaitCommand {
  static override aliases = ['wait-connect'];
  static override summary = 'old name of mars wait NAME connected';

  protected readonly condition = 'connected';
}
