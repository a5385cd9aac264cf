import type {ResourceStatus, StatusDocument} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {hostFlag, targetArgument} from '../options.js';

type RoleDocument = {readonly schema: 1} & Pick<ResourceStatus, 'name' | 'role'>;

/** One word on stdout, as scripts of MARS admins expect it. */
export default class Role extends MarsCommand {
  static override aliases = ['view-role'];
  static override args = {name: targetArgument};
  static override flags = {host: hostFlag};
  static override hidden = true;
  static override summary = 'print the role of a resource, for scripts';

  async run(): Promise<RoleDocument | {schema: 1; resources: RoleDocument[]}> {
    const {args, flags} = await this.parse(Role);
    const query = args.name === 'all' ? '' : `?resource=${encodeURIComponent(args.name)}`;
    const path = `/v1/status${query}`;
    const {resources} = await connectDaemon(flags.home, flags.host).get<StatusDocument>(path);
    const documents = resources.map(({name, role}): RoleDocument => ({schema: 1, name, role}));
    for (const document of documents) this.log(document.role);
    const [only] = documents;
    return args.name !== 'all' && only !== undefined ? only : {schema: 1, resources: documents};
  }
}
