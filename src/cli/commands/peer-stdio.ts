import {MarsCommand} from '../base-command.js';
import {becomePeerConnection} from '../peer-stdio.js';
import {requireRoot} from '../root-user.js';

export default class PeerStdio extends MarsCommand {
  static override description =
    'Other nodes start it through ssh (addresses ssh://HOST); it is not for people.';
  static override enableJsonFlag = false;
  static override hidden = true;
  static override summary = 'connect stdin and stdout to the daemon, for a peer that came by ssh';

  async run(): Promise<void> {
    const {flags} = await this.parse(PeerStdio);
    requireRoot('peer-stdio');
    await becomePeerConnection(flags.home);
  }
}
