/** Which files a program is loaded from: the bundle while it is as new as what it was made from. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {pathToFileURL} from 'node:url';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isBundled, programUrl} from '../../src/core/bundle.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mars-dist-'));
const dist = pathToFileURL(`${root}/`);
const main = new URL('disk/main.js', dist).href;
const NOW_SECONDS = 1_800_000_000;

test.before.each(() => {
  write('.built', 0);
  write('disk/program.js', 0);
  write('bundle/inputs.json', 0, JSON.stringify(['.built', 'disk/program.js']));
});
test.after(() => {
  fs.rmSync(root, {recursive: true, force: true});
});

function write(file: string, laterSeconds: number, text = ''): void {
  const at = path.join(root, file);
  fs.mkdirSync(path.dirname(at), {recursive: true});
  fs.writeFileSync(at, text);
  fs.utimesSync(at, NOW_SECONDS + laterSeconds, NOW_SECONDS + laterSeconds);
}

test('a bundle that is as new as its files is run, as where one archive gave all the same time', () => {
  assert.is(isBundled(dist), true);
  assert.is(programUrl(main, 'disk'), new URL('bundle/disk/program.js', dist).href);
});

test('what was compiled later, is missing, or cannot be read is not run from the bundle', () => {
  const beside = new URL('disk/program.js', dist).href;
  write('disk/program.js', 1);
  assert.is(programUrl(main, 'disk'), beside);
  fs.rmSync(path.join(root, 'disk/program.js'));
  assert.is(isBundled(dist), false);
  write('disk/program.js', 0);
  write('bundle/inputs.json', 0, '["disk/pro');
  assert.is(programUrl(main, 'disk'), beside);
  fs.rmSync(path.join(root, 'bundle'), {recursive: true});
  assert.is(programUrl(main, 'disk'), beside);
});

test('the sources themselves are never bundled, and MARS_UNBUNDLED=1 asks for the files', () => {
  const source = new URL('disk/main.ts', dist);
  assert.is(programUrl(source.href, 'disk'), new URL('program.ts', source).href);
  process.env['MARS_UNBUNDLED'] = '1';
  try {
    assert.is(isBundled(dist), false);
  } finally {
    delete process.env['MARS_UNBUNDLED'];
  }
});

test.run();
