import type {ResourceList} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {hostFlag} from '../../options.js';
import {renderResourceList} from '../../render-resource.js';

export default class ResourceListCommand extends MarsCommand {
  static override examples = ['<%= config.bin %> <%= command.id %>'];
  static override flags = {host: hostFlag};
  static override summary = 'list the resources of this node';

  async run(): Promise<ResourceList> {
    const {flags} = await this.parse(ResourceListCommand);
    const list = await connectDaemon(flags.home, flags.host).get<ResourceList>('/v1/resources');
    this.log(renderResourceList(list.resources));
    return list;
  }
}
