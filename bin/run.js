#!/usr/bin/env node
// The CLI from a built checkout or an installation.
import {fileURLToPath} from 'node:url';
import {Config} from '@oclif/core';
import {runCli} from '../dist/cli/run-cli.js';

const root = fileURLToPath(new URL('..', import.meta.url));
await runCli(process.argv.slice(2), await Config.load({root}));
