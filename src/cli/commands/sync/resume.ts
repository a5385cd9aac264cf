import type {FlowView} from '../../../control/api.js';
import {renderFlow} from '../../render-flow.js';
import {SwitchCommand} from '../../switch-command.js';

export default class SyncResume extends SwitchCommand<FlowView> {
  static override aliases = ['resume-sync', 'resume-sync-local', 'resume-sync-global'];
  static override description = 'Undoes mars sync pause NAME; the copy goes on where it was.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --everywhere',
  ];
  static override summary = 'copy the image from another node again';

  protected readonly path = '/sync/resume';

  protected render(view: FlowView): string {
    return renderFlow(view);
  }
}
