import {Args} from '@oclif/core';
import type {ResourceStatus, StatusDocument} from '../../control/api.js';
import {DiskError} from '../../core/errors.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {nearMatches} from '../near-matches.js';
import {hostFlag, optionalTargetArgument} from '../options.js';
import {expandMacro, macroDirectories, macroNames, readMacro} from '../view-macros.js';
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
    `resources each line begins with the name. A name that is none of these is a macro of yours: the file ` +
    `NAME.tpl in HOME/macros, ~/.mars/macros or /etc/mars/macros (docs/MARSADM.md).\n\n${Object.entries(
      VIEW_VALUES,
    )
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
    const directories = macroDirectories(flags.home);
    const macro = !Object.hasOwn(VIEW_VALUES, args.value)
      ? readMacro(directories, args.value)
      : undefined;
    if (macro === undefined) checkValue(args.value, macroNames(directories));
    const isAll = args.name === undefined || args.name === 'all';
    const query = isAll ? '' : `?resource=${encodeURIComponent(args.name ?? '')}`;
    const document = await connectDaemon(flags.home, flags.host).get<StatusDocument>(
      `/v1/status${query}`,
    );
    const resources = document.resources.map((one) => ({
      name: one.name,
      value:
        macro === undefined
          ? viewValue(args.value, one, document)
          : expandMacro(macro, (name) => valueFor(name, one, document)),
    }));
    for (const {name, value} of resources) {
      // A macro says itself where a line ends, and names the resource where it wants to.
      if (macro !== undefined) this.log(value.replace(/\n$/u, ''));
      else this.log(isAll ? `${name} ${value}` : value);
    }

    return {schema: 1, value: args.value, resources};
  }
}

/** Values of a macro: those of view-value, and which resource and node it is about. */
function valueFor(name: string, one: ResourceStatus, document: StatusDocument): string | undefined {
  if (name === 'res') return one.name;
  if (name === 'host') return document.node;
  return Object.hasOwn(VIEW_VALUES, name) ? viewValue(name, one, document) : undefined;
}

/** @throws DiskError USAGE with what is near */
function checkValue(value: string, macros: readonly string[]): void {
  const known = [...Object.keys(VIEW_VALUES), ...macros];
  if (Object.hasOwn(VIEW_VALUES, value)) return;
  const near = nearMatches(value, known);
  const hint =
    near.length > 0 ? `did you mean ${near.join(', ')}?` : `known are ${known.join(', ')}`;
  const file = `a macro of yours would be the file HOME/macros/${value}.tpl`;
  throw new DiskError('USAGE', `there is no value '${value}': ${hint}; ${file}`, {value});
}
