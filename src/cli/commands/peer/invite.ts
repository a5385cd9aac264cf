import {Flags} from '@oclif/core';
import type {InviteDocument, InviteRequest} from '../../../control/peer-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {formatTime} from '../../times.js';

const SECONDS = 10;

export default class PeerInvite extends MarsCommand {
  static override description =
    'The token is for one node and for the time of --valid. Who has it can join: hand it over as ' +
    'you would a password.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --valid 86400 --json',
  ];
  static override flags = {
    valid: Flags.integer({
      description: 'how long the token can be used, in seconds',
      default: 3600,
      min: 1,
      max: 30 * 24 * 3600,
      helpValue: 'S',
    }),
  };
  static override summary = 'print a token with which another node joins the cluster';

  async run(): Promise<InviteDocument> {
    const {flags} = await this.parse(PeerInvite);
    const body: InviteRequest = {validSeconds: flags.valid};
    const daemon = connectDaemon(flags.home);
    const document = await daemon.post<InviteDocument>('/v1/peers/invite', body, SECONDS);
    this.log(document.token);
    this.logToStderr(
      `valid until ${formatTime(document.expiresAt)}, for one node; there: mars peer join TOKEN`,
    );
    return document;
  }
}
