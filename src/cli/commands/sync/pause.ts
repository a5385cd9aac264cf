import type {FlowView} from '../../../control/api.js';
import {renderFlow} from '../../render-flow.js';
import {SwitchCommand} from '../../switch-command.js';

export default class SyncPause extends SwitchCommand<FlowView> {
  static override aliases = ['pause-sync', 'pause-sync-local', 'pause-sync-global'];
  static override description =
    'What was copied is kept; until the copy is complete this replica cannot be used. The wish is kept over restarts.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --everywhere',
  ];
  static override summary = 'stop copying the image from another node';

  protected readonly path = '/sync/pause';

  protected render(view: FlowView): string {
    return renderFlow(view);
  }
}
