import type {FlowView} from '../../../control/api.js';
import {renderFlow} from '../../render-flow.js';
import {SwitchCommand} from '../../switch-command.js';

export default class FetchResume extends SwitchCommand<FlowView> {
  static override aliases = ['resume-fetch', 'resume-fetch-local', 'resume-fetch-global'];
  static override description = 'Undoes mars fetch pause NAME.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --everywhere',
  ];
  static override summary = 'fetch log from the other nodes again';

  protected readonly path = '/fetch/resume';

  protected render(view: FlowView): string {
    return renderFlow(view);
  }
}
