import {resolve} from 'node:path';
import {Args} from '@oclif/core';
import type {ImportRequest, ImportResult} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderImport} from '../../render-files.js';

export default class LogImport extends MarsCommand {
  static override args = {
    name: resourceArgument,
    path: Args.string({
      description: 'folder with exported files, or logfiles',
      required: true,
      multiple: true,
    }),
  };
  static override description =
    'What joins the log here is taken, in whatever order it is named; all else is refused with the ' +
    'position that is missing, or the file that is damaged. To go on with a folder as files arrive: ' +
    'mars replay follow NAME DIR.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 /mnt/usb/web01',
    '<%= config.bin %> <%= command.id %> web01 log-000000007-alpha log-000000008-alpha',
  ];
  static override flags = {timeout: timeoutFlag(3600)};
  static override summary = 'take exported logfiles into the replica of this node, once';

  async run(): Promise<ImportResult> {
    const {args, flags} = await this.parse(LogImport);
    const body: ImportRequest = {
      paths: args.path.map((path) => resolve(path)),
      replay: false,
      timeoutSeconds: flags.timeout,
    };
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/log/import');
    const result = await daemon.post<ImportResult>(path, body, flags.timeout);
    this.log(renderImport(result));
    return result;
  }
}
