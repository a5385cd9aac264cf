import {Args} from '@oclif/core';
import type {SetRequest} from '../../control/api.js';
import type {PeerView} from '../../control/peer-api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {nodeArgument} from '../options.js';
import {renderPeer} from '../render-peers.js';

const SECONDS = 10;

export default class LowlevelSetHostIp extends MarsCommand {
  static override args = {
    name: nodeArgument,
    address: Args.string({description: 'HOST:PORT or ssh://[USER@]HOST', required: true}),
  };
  static override hidden = true;
  static override summary = 'old name of mars peer set NAME address=ADDRESS';

  async run(): Promise<PeerView> {
    const {args, flags} = await this.parse(LowlevelSetHostIp);
    const body: SetRequest = {settings: {address: args.address}};
    const path = `/v1/peers/${encodeURIComponent(args.name)}/set`;
    const view = await connectDaemon(flags.home).post<PeerView>(path, body, SECONDS);
    this.log(renderPeer(view));
    return view;
  }
}
