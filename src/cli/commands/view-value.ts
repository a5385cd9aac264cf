import {Args} from '@oclif/core';
import type {StatusDocument} from '../../control/api.js';
import {DiskError} from '../../core/errors.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {nearMatches} from '../near-matches.js';
import {hostFlag, optionalTargetArgument} from '../options.js';
import {VIEW_VALUES, viewValue} from '../view-values.js';

interface ValueDocument {
  readonly schema: 1;
  readonly value: string;
  readonly resources: readonly {readonly name: string; readonly value: string}[];
}

export default class ViewValue extends MarsCommand {
  static override args = {
    value: Args.string({description: 'one of the values below', required: true}),
    name: optionalTargetArgument,
  };
  static override description =
    `mars view-VALUE NAME is the same. Truth is 1 or 0, sizes are bytes, - is not known; for all ` +
    `resources each line begins with the name.\n\n${Object.entries(VIEW_VALUES)
      .map(([name, {meaning}]) => `${name}: ${meaning}`)
      .join('\n')}`;
  static override examples = [
    '<%= config.bin %> view-is-primary web01',
    '<%= config.bin %> <%= command.id %> replay-rest all',
  ];
  static override flags = {host: hostFlag};
  static override summary = 'print one value of a resource, for scripts';

  async run(): Promise<ValueDocument> {
    const {args, flags} = await this.parse(ViewValue);
    checkValue(args.value);
    const isAll = args.name === undefined || args.name === 'all';
    const query = isAll ? '' : `?resource=${encodeURIComponent(args.name ?? '')}`;
    const document = await connectDaemon(flags.home, flags.host).get<StatusDocument>(
      `/v1/status${query}`,
    );
    const resources = document.resources.map((one) => ({
      name: one.name,
      value: viewValue(args.value, one, document),
    }));
    for (const {name, value} of resources) this.log(isAll ? `${name} ${value}` : value);
    return {schema: 1, value: args.value, resources};
  }
}

/** @throws DiskError USAGE with what is near */
function checkValue(value: string): void {
  const known = Object.keys(VIEW_VALUES);
  if (known.includes(value)) return;
  const near = nearMatches(value, known);
  const hint =
    near.length > 0 ? `did you mean ${near.join(', ')}?` : `known are ${known.join(', ')}`;
  throw new DiskError('USAGE', `there is no value '${value}': ${hint}`, {value});
}
