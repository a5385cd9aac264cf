import {Args} from '@oclif/core';
import type {MetricsListenRequest, MetricsListenView} from '../../../control/daemon-api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';

const PATH = '/v1/metrics-listen';
const SECONDS = 10;

export default class DaemonMetrics extends MarsCommand {
  static override args = {
    address: Args.string({description: '127.0.0.1:PORT, [::1]:PORT or off; left out: shows it'}),
  };
  static override description =
    'Off by default: GET /v1/metrics on the control socket has the same text. The port is for ' +
    'this machine only, as whoever can reach it can read it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> 127.0.0.1:9464',
    '<%= config.bin %> <%= command.id %> off',
  ];
  static override summary = 'the port where Prometheus reads the metrics of this node';

  async run(): Promise<MetricsListenView> {
    const {args, flags} = await this.parse(DaemonMetrics);
    const daemon = connectDaemon(flags.home);
    const {address} = args;
    const listen = address === 'off' ? null : address;
    const view =
      listen === undefined
        ? await daemon.get<MetricsListenView>(PATH)
        : await daemon.post<MetricsListenView>(
            PATH,
            {listen} satisfies MetricsListenRequest,
            SECONDS,
          );
    const wish = view.listen === null ? 'off' : `http://${view.listen}/metrics`;
    const isServed = view.listen === null || view.served;
    this.log(isServed ? wish : `${wish}: not served, see mars events`);
    return view;
  }
}
