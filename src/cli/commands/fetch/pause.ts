import type {FlowView} from '../../../control/api.js';
import {renderFlow} from '../../render-flow.js';
import {SwitchCommand} from '../../switch-command.js';

export default class FetchPause extends SwitchCommand<FlowView> {
  static override aliases = ['pause-fetch', 'pause-fetch-local', 'pause-fetch-global'];
  static override description =
    'This replica stays as old as it is now, and the primary keeps the log for it. The wish is kept over restarts.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --everywhere',
  ];
  static override summary = 'stop fetching log from the other nodes';

  protected readonly path = '/fetch/pause';

  protected render(view: FlowView): string {
    return renderFlow(view);
  }
}
