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
  readonly listOf: (pages: Map<string, string>) => string[];
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

test('an installation has all pages, where man finds them', async () => {
  const manifest = fs.readFileSync(path.join(ROOT, 'oclif.manifest.json'), 'utf8');
  const {manPages, listOf} = (await import(path.join(ROOT, 'bin/man.mjs'))) as Generator;
  const pages = listOf(manPages(JSON.parse(manifest)));
  const text = fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8');
  // npm links what is listed there, and nothing for "directories.man".
  assert.equal((JSON.parse(text) as {man: string[]}).man, pages, 'npm run manifest');
  const words = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const packed = spawnSync('npm', words, {cwd: ROOT, encoding: 'utf8', timeout: 120_000});
  assert.is(packed.status, 0, packed.stderr);
  const [{files}] = JSON.parse(packed.stdout) as [{files: {path: string}[]}];
  const names = new Set(files.map((file) => file.path));
  assert.equal(
    pages.filter((page) => !names.has(page)),
    [],
  );
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
