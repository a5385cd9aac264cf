/** The manual pages are those of the manifest: `npm run manifest`. */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {skip} from '../helpers/skip.js';

const ROOT = path.join(import.meta.dirname, '..', '..');
const DIRECTORY = path.join(ROOT, 'man');

interface Generator {
  readonly manPages: (manifest: unknown) => Map<string, string>;
}

test('there is a page of each command, as the manifest has it', async () => {
  const text = fs.readFileSync(path.join(ROOT, 'oclif.manifest.json'), 'utf8');
  const {manPages} = (await import(path.join(ROOT, 'bin/man.mjs'))) as Generator;
  const pages = manPages(JSON.parse(text));
  assert.equal(fs.readdirSync(DIRECTORY).sort(), [...pages.keys()].sort(), 'npm run manifest');
  for (const [name, page] of pages) {
    assert.ok(
      fs.readFileSync(path.join(DIRECTORY, name), 'utf8') === page,
      `${name}: npm run manifest`,
    );
  }
});

test('groff has nothing to say against a page', (context) => {
  const pages = fs.readdirSync(DIRECTORY).map((name) => path.join(DIRECTORY, name));
  const result = spawnSync('groff', ['-man', '-Tutf8', '-ww', '-z', ...pages], {encoding: 'utf8'});
  if (result.error !== undefined) {
    skip(context, 'groff is not installed');
    return;
  }

  assert.is(result.stderr, '');
  assert.is(result.status, 0);
});

test.run();
