/** What is generated from the commands must be that of the commands: `npm run manifest`. */
import fs from 'node:fs';
import path from 'node:path';
import type {Command} from '@oclif/core';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {loadConfig} from '../helpers/run-command.js';

const ROOT = path.join(import.meta.dirname, '..', '..');

interface Manifest {
  readonly commands: Readonly<Record<string, Command.Cached>>;
}

test('the manifest has every command with its words, as the sources have them', async () => {
  const text = fs.readFileSync(path.join(ROOT, 'oclif.manifest.json'), 'utf8');
  const {commands} = JSON.parse(text) as Manifest;
  const config = await loadConfig();
  const [plugin] = [...config.plugins.values()];
  const sources = (plugin as unknown as {manifest: Manifest}).manifest.commands;
  assert.equal(Object.keys(commands).sort(), Object.keys(sources).sort(), 'npm run manifest');
  for (const [id, command] of Object.entries(sources)) {
    assert.equal(describe(commands[id]), describe(command), `${id}: npm run manifest`);
  }
});

test('the README has every command that is not hidden', async () => {
  const readme = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  const missing = (await listCommands())
    .filter((command) => !command.hidden)
    .map(({id}) => `## \`mars ${id.replaceAll(':', ' ')}`)
    .filter((heading) => !readme.includes(heading));
  assert.equal(missing, []);
});

test('every command says what it is for, and shows an example', async () => {
  for (const command of await listCommands()) {
    assert.ok((command.summary ?? '').length > 10, command.id);
    if (!command.hidden) assert.ok((command.examples ?? []).length > 0, command.id);
    for (const part of [...Object.values(command.args), ...Object.values(command.flags)]) {
      assert.ok((part.description ?? '').length > 4, `${command.id} ${part.name}`);
    }
  }
});

/** Each once: the configuration lists aliases as commands of their own. */
async function listCommands(): Promise<readonly Command.Loadable[]> {
  const config = await loadConfig();
  return [...config.plugins.values()].flatMap((plugin) => plugin.commands);
}

function describe(command: Command.Cached | undefined): object {
  const {args = {}, flags = {}, aliases = [], summary, description, hidden} = command ?? {};
  return {
    args: Object.entries(args).map(([name, arg]) => [name, arg.required === true, arg.description]),
    flags: Object.entries(flags)
      .map(([name, flag]) => [name, flag.char, flag.description, flag.required === true])
      .sort(),
    ...{aliases, summary, description, hidden: hidden === true},
  };
}

test.run();
