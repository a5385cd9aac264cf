import type {PeerList} from '../../../control/peer-api.js';
import {systemClock} from '../../../core/clock.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {hostFlag} from '../../options.js';
import {renderPeers} from '../../render-peers.js';

export default class PeerListCommand extends MarsCommand {
  static override examples = ['<%= config.bin %> <%= command.id %>'];
  static override flags = {host: hostFlag};
  static override summary = 'list the members of the cluster, and which of them answer';

  async run(): Promise<PeerList> {
    const {flags} = await this.parse(PeerListCommand);
    const list = await connectDaemon(flags.home, flags.host).get<PeerList>('/v1/peers');
    this.log(renderPeers(list, systemClock.wallMs()));
    return list;
  }
}
