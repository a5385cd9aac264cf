import type {ResourceView} from '../../control/api.js';
import {SwitchCommand} from '../switch-command.js';

export default class Disconnect extends SwitchCommand<ResourceView> {
  static override aliases = ['disconnect-local', 'disconnect-global'];
  static override description =
    'Before a mars primary NAME --force. Facts about the nodes are still exchanged. The wish is kept over restarts.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --everywhere',
  ];
  static override summary = 'keep a resource to this node: nothing comes in, nothing goes out';

  protected readonly path = '/disconnect';

  protected render({name}: ResourceView): string {
    return `${name}: disconnected`;
  }
}
