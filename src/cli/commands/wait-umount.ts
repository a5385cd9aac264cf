import {OldWaitCommand} from '../old-wait-command.js';

/** As MARS admins know it. */
export default class WaitUmount extends OldWaitCommand {
  static override summary = 'old name of mars wait NAME closed';

  protected readonly condition = 'closed';
}
