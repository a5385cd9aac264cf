import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {parallelFlag, targetArgument, timeoutFlag} from '../../options.js';
import type {TargetsDocument} from '../../targets.js';

export interface RotateDocument {
  readonly schema: 1;
  readonly name: string;
  readonly file: string;
  readonly position: string;
}

export default class LogRotate extends MarsCommand {
  static override aliases = ['log-rotate'];
  static override args = {name: targetArgument};
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'go on in a new logfile';

  async run(): Promise<RotateDocument | TargetsDocument<RotateDocument>> {
    const {args, flags} = await this.parse(LogRotate);
    const daemon = connectDaemon(flags.home);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      async (name): Promise<RotateDocument> => {
        const path = resourcePath(name, '/log/rotate');
        const {file, position} = await daemon.post<RotateDocument>(path, {}, flags.timeout);
        return {schema: 1, name, file, position};
      },
      ({name, file, position}) => {
        this.log(`${name}: the log goes on in ${file} at ${position}`);
      },
    );
  }
}
