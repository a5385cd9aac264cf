import type {ResourceStatus, StatusDocument} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {hostFlag, targetArgument} from '../options.js';

type StateDocument = {readonly schema: 1} & Pick<ResourceStatus, 'name' | 'state'>;

/** One word on stdout, as scripts of MARS admins expect it. */
export default class State extends MarsCommand {
  static override aliases = ['view-state'];
  static override args = {name: targetArgument};
  static override flags = {host: hostFlag};
  static override hidden = true;
  static override summary = 'print the state of a resource, for scripts';

  async run(): Promise<StateDocument | {schema: 1; resources: StateDocument[]}> {
    const {args, flags} = await this.parse(State);
    const query = args.name === 'all' ? '' : `?resource=${encodeURIComponent(args.name)}`;
    const path = `/v1/status${query}`;
    const {resources} = await connectDaemon(flags.home, flags.host).get<StatusDocument>(path);
    const documents = resources.map(({name, state}): StateDocument => ({schema: 1, name, state}));
    for (const document of documents) this.log(document.state);
    const [only] = documents;
    return args.name !== 'all' && only !== undefined ? only : {schema: 1, resources: documents};
  }
}
