import type {ReplayView} from '../../../control/api.js';
import {renderReplay} from '../../render-resource.js';
import {SwitchCommand} from '../../switch-command.js';

export default class ReplayPause extends SwitchCommand<ReplayView> {
  static override aliases = ['pause-replay', 'pause-replay-local', 'pause-replay-global'];
  static override description =
    'The log grows until mars replay resume NAME. The wish is kept over restarts.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --everywhere',
  ];
  static override summary = 'keep the log from being written to the image';

  protected readonly path = '/replay/pause';

  protected render(view: ReplayView): string {
    return renderReplay(view);
  }
}
