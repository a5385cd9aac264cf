/** Runs a command of the CLI in this process, from its source, as `mars` would. */
import fs from 'node:fs';
import path from 'node:path';
import {Config, Plugin, settings, type Command, type Interfaces} from '@oclif/core';
import {captureOutput} from '@oclif/test';

const ROOT = path.join(import.meta.dirname, '..', '..');

settings.enableAutoTranspile = false;

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** 0 where the command did not end with an error. */
  readonly exit: number;
  /** Stable code of the error that was shown. */
  readonly code: string | undefined;
}

interface Runnable {
  run(argv: string[], options: Interfaces.LoadOptions): Promise<unknown>;
}

let loaded: Promise<Config> | undefined;

/** The commands of src/, whatever is built. */
export function loadConfig(): Promise<Config> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<Config> {
  const text = fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8');
  const pjson = JSON.parse(text) as Interfaces.PJSON & {oclif: {commands: string}};
  pjson.oclif.commands = './src/cli/commands';
  const plugin = new Plugin({root: ROOT, pjson, isRoot: true, ignoreManifest: true, type: 'core'});
  await plugin.load();
  return Config.load({root: ROOT, pjson, plugins: new Map([[plugin.name, plugin]])});
}

/** Loads the class of a command by its words, `resource create`. */
export async function findCommand(words: string): Promise<Command.Loadable> {
  const config = await loadConfig();
  const command = config.findCommand(words.replaceAll(' ', ':'));
  if (command === undefined) throw new Error(`there is no command ${words}`);
  return command;
}

/**
 * @param words the command, `resource create`
 * @param argv what follows it
 */
export async function runCommand(words: string, ...argv: string[]): Promise<CommandResult> {
  const config = await loadConfig();
  const command = (await (await findCommand(words)).load()) as unknown as Runnable;
  const {stdout, stderr, error} = await captureOutput(() => command.run(argv, config), {
    stripAnsi: true,
  });
  const failure = error as (Error & {code?: string; oclif?: {exit?: number}}) | undefined;
  if (failure !== undefined && failure.oclif === undefined) throw failure;
  return {stdout, stderr, exit: failure?.oclif?.exit ?? 0, code: failure?.code};
}
