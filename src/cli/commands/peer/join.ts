import {Args} from '@oclif/core';
import type {PeerJoinDocument, PeerJoinRequest} from '../../../control/peer-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {timeoutFlag} from '../../options.js';

export default class PeerJoin extends MarsCommand {
  static override aliases = ['join-cluster'];
  static override args = {
    token: Args.string({
      description: 'token of mars peer invite, or ssh://[USER@]HOST of a member',
      required: true,
    }),
  };
  static override description =
    'This node must have no resources and no peers of another cluster. Over ssh no token is ' +
    'needed: who may run mars there as root may join.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> TOKEN',
    '<%= config.bin %> <%= command.id %> ssh://root@alpha',
  ];
  static override flags = {timeout: timeoutFlag(60)};
  static override summary = 'make this node a member of a cluster';

  async run(): Promise<PeerJoinDocument> {
    const {args, flags} = await this.parse(PeerJoin);
    const body: PeerJoinRequest = {token: args.token, timeoutSeconds: flags.timeout};
    const daemon = connectDaemon(flags.home);
    const document = await daemon.post<PeerJoinDocument>('/v1/peers/join', body, flags.timeout);
    this.log(`joined through ${document.through}; members: ${document.members.join(', ')}`);
    return document;
  }
}
