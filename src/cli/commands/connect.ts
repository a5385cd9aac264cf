import type {ResourceView} from '../../control/api.js';
import {SwitchCommand} from '../switch-command.js';

export default class Connect extends SwitchCommand<ResourceView> {
  static override aliases = ['connect-local', 'connect-global'];
  static override description = 'Undoes mars disconnect NAME. The wish is kept over restarts.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --everywhere',
  ];
  static override summary = 'let log and image of a resource flow between the nodes again';

  protected readonly path = '/connect';

  protected render({name}: ResourceView): string {
    return `${name}: connected`;
  }
}
