/** Entry of the bundle that bin/bundle.mjs makes: what every command loads, in few files. */
import {Config, type Interfaces} from '@oclif/core';
import {runCli} from './run-cli.js';

/** Where oclif.manifest.json says that a command is, and where it is in the bundle. */
const [SOURCE, BUNDLE] = [
  ['dist', 'cli'],
  ['dist', 'bundle'],
];

/** What oclif's interface of a plugin leaves out. */
interface WithManifest {
  readonly manifest: {readonly commands: Readonly<Record<string, {relativePath?: string[]}>>};
}

/** As bin/run.js without a bundle, with the commands that are in it. */
export async function runBundled(typed: readonly string[], root: string): Promise<void> {
  const config = await Config.load({root});
  for (const plugin of config.plugins.values()) {
    for (const command of Object.values(
      (plugin as Interfaces.Plugin & WithManifest).manifest.commands,
    )) {
      const {relativePath = []} = command;
      const isOurs = SOURCE.every((word, at) => relativePath[at] === word);
      if (isOurs) command.relativePath = [...BUNDLE, ...relativePath.slice(SOURCE.length)];
    }
  }

  await runCli(typed, config);
}
