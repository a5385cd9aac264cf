#!/usr/bin/env node
// The CLI from a built checkout or an installation: from its bundle (bin/bundle.mjs), which starts in a
// fraction of the time; where that is missing, or older than what it was made from, from dist/ itself.
import {readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const words = process.argv.slice(2);
if (isBundled()) {
  const {runBundled} = await import('../dist/bundle/bundled.js');
  await runBundled(words, root);
} else {
  const {Config} = await import('@oclif/core');
  const {runCli} = await import('../dist/cli/run-cli.js');
  await runCli(words, await Config.load({root}));
}

function isBundled() {
  try {
    const list = join(root, 'dist/bundle/inputs.json');
    const madeMs = statSync(list).mtimeMs;
    const inputs = JSON.parse(readFileSync(list, 'utf8'));
    return inputs.every((file) => statSync(join(root, 'dist', file)).mtimeMs <= madeMs);
  } catch {
    return false;
  }
}
