import {Args} from '@oclif/core';
import type {SetRequest} from '../../../control/api.js';
import type {PeerView} from '../../../control/peer-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {nodeArgument, parseSettings} from '../../options.js';
import {renderPeer} from '../../render-peers.js';

const SECONDS = 10;

export default class PeerSet extends MarsCommand {
  static override args = {
    name: nodeArgument,
    setting: Args.string({
      description: 'setting and its new value: key=value',
      required: true,
      multiple: true,
    }),
  };
  static override description =
    'address: how this node reaches the member, HOST:PORT or ssh://[USER@]HOST. bandwidth-limit: ' +
    'bytes a second that this node sends to it at most, such as 10M, or none. compression: what ' +
    'this node compresses with what it sends: none, auto (where that makes the link faster), gzip, ' +
    'brotli, or zstd where Node has it. All are for this node alone: other members have their own. ' +
    'remote-control, of this node itself: what the others may do here with --host: off, read, or act ' +
    '(the default: read, and pause, resume, connect, disconnect).';
  static override examples = [
    '<%= config.bin %> <%= command.id %> beta address=192.0.2.7:7777',
    '<%= config.bin %> <%= command.id %> beta bandwidth-limit=10M',
    '<%= config.bin %> <%= command.id %> beta compression=auto',
    '<%= config.bin %> <%= command.id %> alpha remote-control=read',
  ];
  static override summary = 'change how this node reaches a member';

  async run(): Promise<PeerView> {
    const {args, flags} = await this.parse(PeerSet);
    const body: SetRequest = {settings: parseSettings(args.setting)};
    const path = `/v1/peers/${encodeURIComponent(args.name)}/set`;
    const view = await connectDaemon(flags.home).post<PeerView>(path, body, SECONDS);
    this.log(renderPeer(view));
    return view;
  }
}
