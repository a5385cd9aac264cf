import {resolve} from 'node:path';
import {Flags} from '@oclif/core';
import type {ForkExtractRequest, ForkExtractResult} from '../../../control/fork-api.js';
import {formatBytes} from '../../../core/units.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {branchFlag, resourceArgument, timeoutFlag} from '../../options.js';

export default class ForkExtract extends MarsCommand {
  static override args = {name: resourceArgument};
  static override description =
    'The file is the disk as of the end of the branch: mount it, and take out what is missed. The ' +
    'branch stays as it is. It can also be read where it is kept (mars fork show), read-only.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01 --to /srv/web01-lost.img'];
  static override flags = {
    branch: branchFlag,
    to: Flags.string({
      description: 'file to make; it must not exist',
      required: true,
      helpValue: 'FILE',
      parse: (input) => Promise.resolve(resolve(input)),
    }),
    timeout: timeoutFlag(600),
  };
  static override summary = 'copy the disk of a branch that gave way to a file';

  async run(): Promise<ForkExtractResult> {
    const {args, flags} = await this.parse(ForkExtract);
    const {branch, to, timeout} = flags;
    const body: ForkExtractRequest = {
      ...(branch === undefined ? {} : {branch}),
      ...{to, timeoutSeconds: timeout},
    };
    const path = resourcePath(args.name, '/fork/extract');
    const result = await connectDaemon(flags.home).post<ForkExtractResult>(path, body, timeout);
    const {file, sizeBytes, end} = result;
    this.log(`${file}: ${formatBytes(sizeBytes)}, the disk of branch ${result.branch} at ${end}`);
    return result;
  }
}
