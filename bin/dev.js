#!/usr/bin/env -S node --import tsx
// Runs the CLI straight from src/: no build, no manifest, no transpiler inside oclif.
import {readFile} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {Config, Plugin, settings} from '@oclif/core';
import {runCli} from '../src/cli/run-cli.ts';

settings.enableAutoTranspile = false; // tsx, from the first line, is the only loader
const root = fileURLToPath(new URL('..', import.meta.url));
const pjson = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
pjson.oclif.commands = './src/cli/commands';

const plugin = new Plugin({root, pjson, isRoot: true, ignoreManifest: true, type: 'core'});
await plugin.load();
const config = await Config.load({root, pjson, plugins: new Map([[plugin.name, plugin]])});
await runCli(process.argv.slice(2), config);
