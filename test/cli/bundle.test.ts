/** The bundle of the CLI (bin/bundle.mjs) beside the files that it was made from: the same words. */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';

const ROOT = join(import.meta.dirname, '../..');
const UNBUNDLED = `
  const {Config} = await import('@oclif/core');
  const {runCli} = await import('${ROOT}/dist/cli/run-cli.js');
  await runCli(process.argv.slice(1), await Config.load({root: '${ROOT}'}));
`;
const BUNDLED = `
  const {runBundled} = await import('${ROOT}/dist/bundle/bundled.js');
  await runBundled(process.argv.slice(1), '${ROOT}');
`;

let home = '';

test.before(() => {
  home = fs.mkdtempSync(join(os.tmpdir(), 'mars-bundle-'));
});
test.after(() => {
  fs.rmSync(home, {recursive: true, force: true});
});

function run(program: string, words: readonly string[]) {
  const {status, stdout, stderr} = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', program, '--', ...words],
    {cwd: ROOT, encoding: 'utf8', env: {...process.env, MARS_HOME: home}},
  );
  return {status, stdout, stderr};
}

test('flags, help, errors, documents and exit codes are those of the unbundled CLI', () => {
  const lines = [
    ['status', '--json'],
    ['log', 'show', '--help'],
    ['explain', 'LOG_SPACE'],
    ['statsu'],
    ['wait', 'web01'],
  ];
  for (const words of lines) {
    const bundled = run(BUNDLED, words);
    assert.equal(bundled, run(UNBUNDLED, words), words.join(' '));
    assert.ok(bundled.stdout.length + bundled.stderr.length > 0, words.join(' '));
  }
});

test('daemon and disk process are loaded from the bundle as from the files', () => {
  for (const main of ['daemon/main.js', 'disk/main.js']) {
    for (const more of [{}, {MARS_UNBUNDLED: '1'}]) {
      const {status, stdout, stderr} = spawnSync(
        process.execPath,
        [join(ROOT, 'dist', main), '--check'],
        {encoding: 'utf8', env: {...process.env, ...more}},
      );
      assert.is(status, 0, stderr);
      assert.match(stdout, /^\d+\.\d+\.\d+\n$/u);
    }
  }
});

test('every command of the manifest is in the bundle', () => {
  const text = fs.readFileSync(join(ROOT, 'oclif.manifest.json'), 'utf8');
  const {commands} = JSON.parse(text) as {commands: Record<string, {relativePath: string[]}>};
  const paths = Object.values(commands).map(({relativePath}) => relativePath.slice(2));
  assert.ok(paths.length > 50);
  for (const path of paths)
    assert.ok(fs.existsSync(join(ROOT, 'dist/bundle', ...path)), path.join('/'));
});

test.run();
