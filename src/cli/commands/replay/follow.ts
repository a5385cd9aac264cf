import {resolve} from 'node:path';
import {Args, Flags} from '@oclif/core';
import type {FlowView, ImportRequest, ImportResult} from '../../../control/api.js';
import {DiskError} from '../../../core/errors.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderImport} from '../../render-files.js';

export default class ReplayFollow extends MarsCommand {
  static override args = {
    name: resourceArgument,
    folder: Args.string({description: 'folder where exported files arrive'}),
  };
  static override description =
    'Files may arrive in any order and by any means (mars log export writes them); what is missing, ' +
    'damaged or foreign is named in mars status and waited for, and never applied. The wish is kept ' +
    'over restarts; while it lasts nothing is fetched from other nodes. With --once what is there ' +
    'now is applied, and the command ends when it is in the image.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 /srv/inbox/web01',
    '<%= config.bin %> <%= command.id %> web01 /mnt/usb/web01 --once',
    '<%= config.bin %> <%= command.id %> web01 --stop',
  ];
  static override flags = {
    once: Flags.boolean({
      description: 'apply what is there now, then end',
      default: false,
      exclusive: ['stop'],
    }),
    stop: Flags.boolean({description: 'follow other nodes again', default: false}),
    timeout: timeoutFlag(3600),
  };
  static override summary = 'feed the replica of this node from files that arrive in a folder';

  async run(): Promise<FlowView | ImportResult> {
    const {args, flags} = await this.parse(ReplayFollow);
    const {name} = args;
    if ((args.folder === undefined) !== flags.stop) {
      const text = flags.stop
        ? 'a folder has no meaning with --stop'
        : 'expected a folder, or --stop';
      throw new DiskError('USAGE', text);
    }

    const daemon = connectDaemon(flags.home);
    const folder = args.folder === undefined ? undefined : resolve(args.folder);
    if (!flags.once || folder === undefined) {
      const path = resourcePath(name, '/replay/follow');
      const body = folder === undefined ? {} : {folder};
      const view = await daemon.post<FlowView>(path, body, flags.timeout);
      // What the replica did until now would be in the view: it turns to the new source afterwards.
      const source = folder === undefined ? 'other nodes again' : `the folder ${folder}`;
      this.log(`${name}: follows ${source}\nnext: mars fetch status ${name}`);
      return view;
    }

    const body: ImportRequest = {paths: [folder], replay: true, timeoutSeconds: flags.timeout};
    const path = resourcePath(name, '/log/import');
    const result = await daemon.post<ImportResult>(path, body, flags.timeout);
    this.log(renderImport(result));
    return result;
  }
}
