#!/usr/bin/env node
// The CLI from a built checkout or an installation: from its bundle (bin/bundle.mjs), which starts in a
// fraction of the time; where that is missing, or older than what it was made from, from dist/ itself.
import {fileURLToPath} from 'node:url';
import {isBundled} from '../dist/core/bundle.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const words = process.argv.slice(2);
if (isBundled(new URL('../dist/', import.meta.url))) {
  const {runBundled} = await import('../dist/bundle/bundled.js');
  await runBundled(words, root);
} else {
  const {Config} = await import('@oclif/core');
  const {runCli} = await import('../dist/cli/run-cli.js');
  await runCli(words, await Config.load({root}));
}
