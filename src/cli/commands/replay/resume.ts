import type {ReplayView} from '../../../control/api.js';
import {renderReplay} from '../../render-resource.js';
import {SwitchCommand} from '../../switch-command.js';

export default class ReplayResume extends SwitchCommand<ReplayView> {
  static override aliases = ['resume-replay', 'resume-replay-local', 'resume-replay-global'];
  static override description = 'Undoes mars replay pause NAME.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --everywhere',
  ];
  static override summary = 'write the log to the image again';

  protected readonly path = '/replay/resume';

  protected render(view: ReplayView): string {
    return renderReplay(view);
  }
}
