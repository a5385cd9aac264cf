import {Flags} from '@oclif/core';
import type {PeerRemoveDocument, PeerLeaveRequest} from '../../../control/peer-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {renderPeerRemoval} from '../../render-peers.js';

const SECONDS = 20;

export default class PeerLeave extends MarsCommand {
  static override aliases = ['leave-cluster'];
  static override description =
    'The other members do not talk to this node any more; its own files stay as they are. It may ' +
    'join again, this cluster or another one, with a new token. Refused while it has replicas.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --dry-run',
    '<%= config.bin %> <%= command.id %> --yes',
  ];
  static override flags = {
    force: Flags.boolean({
      description: 'also where it has replicas: they stay here, and nobody follows them',
      default: false,
    }),
    'dry-run': Flags.boolean({
      description: 'only say who would be told, and which replicas nobody would follow any more',
      default: false,
    }),
    yes: Flags.boolean({char: 'y', description: 'really leave', default: false}),
  };
  static override summary = 'take this node out of its cluster';

  async run(): Promise<PeerRemoveDocument> {
    const {flags} = await this.parse(PeerLeave);
    const only = flags['dry-run'] ? {dryRun: true} : {};
    const body: PeerLeaveRequest = {force: flags.force, confirmed: flags.yes, ...only};
    const document = await connectDaemon(flags.home).post<PeerRemoveDocument>(
      '/v1/peers/leave',
      body,
      SECONDS,
    );
    this.log(renderPeerRemoval(document));
    return document;
  }
}
