import {Flags} from '@oclif/core';
import type {PeerRemoveDocument, PeerRemoveRequest} from '../../../control/peer-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {nodeArgument} from '../../options.js';
import {renderPeerRemoval} from '../../render-peers.js';

const SECONDS = 20;

export default class PeerRemove extends MarsCommand {
  static override args = {name: nodeArgument};
  static override description =
    'The members do not talk to the node any more; its own files stay as they are. It may join ' +
    'again with a new token.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> beta',
    '<%= config.bin %> <%= command.id %> beta --force',
    '<%= config.bin %> <%= command.id %> beta --force --dry-run',
  ];
  static override flags = {
    'dry-run': Flags.boolean({
      description: 'only say who would be told, and which replicas nobody would follow any more',
      default: false,
    }),
    force: Flags.boolean({description: 'also where it has replicas of resources', default: false}),
  };
  static override summary = 'remove a node from the cluster';

  async run(): Promise<PeerRemoveDocument> {
    const {args, flags} = await this.parse(PeerRemove);
    const only = flags['dry-run'] ? {dryRun: true} : {};
    const body: PeerRemoveRequest = {force: flags.force, ...only};
    const path = `/v1/peers/${encodeURIComponent(args.name)}`;
    const daemon = connectDaemon(flags.home);
    const document = await daemon.remove<PeerRemoveDocument>(path, body, SECONDS);
    this.log(renderPeerRemoval(document));
    return document;
  }
}
