/** Rules of the house that no linter knows: layers, lengths, links, what must not be committed. */
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';

const ROOT = path.join(import.meta.dirname, '..');

// A layer may import itself and the layers named here, nothing else: see ARCHITECTURE.md.
const LAYERS: Record<string, readonly string[]> = {
  core: [],
  log: ['core'],
  image: ['core', 'log'],
  replica: ['core', 'log', 'image'],
  fuse: ['core'],
  disk: ['core', 'log', 'image', 'fuse'],
  control: ['core'],
  cluster: ['core'],
  daemon: ['core', 'log', 'image', 'fuse', 'replica', 'disk', 'control', 'cluster'],
  // `log show` and `log verify` read logfiles, `init` makes the keys, without a daemon.
  cli: ['core', 'control', 'log', 'cluster'],
};

const FILE_LINES_MAX = 500;

/** Files of the work tree that are, or will be, committed. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && fs.existsSync(path.join(ROOT, file)));
const sources = files.filter((file) => file.startsWith('src/') && file.endsWith('.ts'));
const read = (file: string): string => fs.readFileSync(path.join(ROOT, file), 'utf8');

test('imports go down the layers only', () => {
  const violations: string[] = [];
  for (const file of sources) {
    const from = layerOf(file);
    for (const [, target = ''] of read(file).matchAll(/(?:from|import\(?) ?'(\.[^']+)'/gu)) {
      const to = layerOf(path.join(path.dirname(file), target));
      if (to !== from && LAYERS[from]?.includes(to) !== true) {
        violations.push(`${file} -> ${to}`);
      }
    }
  }

  assert.equal(violations, []);
});

test('every folder of src is a layer', () => {
  const unknown = sources.filter((file) => LAYERS[layerOf(file)] === undefined);
  assert.equal(unknown, []);
});

test('every test file runs its tests: uvu passes a file that does not in silence', () => {
  const tests = files.filter((file) => /^test\/.*\.(test|e2e)\.ts$/u.test(file));
  // Suites that are made in a loop are run in it.
  const idle = tests.filter((file) => !/\n *\w+\.run\(\);\n(?:\}\n)?$/u.test(read(file)));
  assert.equal(idle, []);
  assert.ok(tests.length > 0);
});

test(`no file has more than ${FILE_LINES_MAX} lines`, () => {
  const long = files.filter(
    (file) =>
      /\.(ts|mjs|js|sh)$|^bin\/|^\.ci\//u.test(file) &&
      read(file).split('\n').length - 1 > FILE_LINES_MAX,
  );
  assert.equal(long, []);
});

test('exports are named, but for commands', () => {
  const bad = sources.filter(
    (file) => !file.startsWith('src/cli/commands/') && /^export default/mu.test(read(file)),
  );
  assert.equal(bad, []);
});

test('no file re-exports others', () => {
  assert.equal(
    sources.filter((file) => /^export (?:\*|\{[^}]*\}) from/mu.test(read(file))),
    [],
  );
});

test('every exported function and class says what it does', () => {
  const silent: string[] = [];
  for (const file of sources) {
    const lines = read(file).split('\n');
    for (const [index, line] of lines.entries()) {
      const name = /^export (?:async )?(?:function\*?|class) (\w+)/u.exec(line)?.[1];
      if (name !== undefined && !/\*\/\s*$/u.test(lines[index - 1] ?? '')) {
        silent.push(`${file}: ${name}`);
      }
    }
  }

  assert.equal(silent, []);
});

test('names of files say what is in them', () => {
  const vague = sources.filter((file) =>
    /(?:^|[/-])(?:utils?|helpers?|misc|common|manager|info)\.ts$/u.test(file),
  );
  assert.equal(vague, []);
});

test('the lock files name no registry', () => {
  const locks = files.filter((file) => file.endsWith('package-lock.json'));
  assert.equal(
    locks.filter((file) => /"resolved"|https?:\/\/[^"]*registry/u.test(read(file))),
    [],
  );
  assert.ok(locks.length > 0);
});

test('no path of a developer machine is in the repository', () => {
  const pattern = new RegExp(['/wo', 'rk/(main|shared)|/ho', 'me/[a-z]+/'].join(''), 'u');
  const named = files.filter((file) => isText(file) && pattern.test(read(file)));
  assert.equal(named, []);
});

test('nothing is to be done without an issue', () => {
  const pattern = new RegExp(['TO', 'DO|FIX', 'ME|X', 'XX'].join(''), 'u');
  const open = files.filter(
    (file) => isText(file) && !file.endsWith('package-lock.json') && pattern.test(read(file)),
  );
  assert.equal(open, []);
});

test('links between documents resolve', () => {
  const broken: string[] = [];
  for (const file of files.filter((name) => name.endsWith('.md'))) {
    // Code is no link: `[5](x)` in a fence or in back-ticks.
    const text = read(file)
      .replaceAll(/^```[\s\S]*?^```/gmu, '')
      .replaceAll(/`[^`\n]*`/gu, '');
    for (const [, target = ''] of text.matchAll(/\[[^\]]*\]\(([^)\s]+)[^)]*\)/gu)) {
      if (/^[a-z]+:/u.test(target)) continue;
      const [place = '', anchor] = target.split('#');
      const to = place === '' ? file : path.normalize(path.join(path.dirname(file), place));
      if (!fs.existsSync(path.join(ROOT, to))) broken.push(`${file}: ${target}`);
      else if (anchor !== undefined && !anchorsOf(to).includes(anchor)) {
        broken.push(`${file}: ${target}`);
      }
    }
  }

  assert.equal(broken, []);
});

function layerOf(file: string): string {
  return file.split('/')[1] ?? '';
}

function isText(file: string): boolean {
  return /\.(ts|mjs|js|json|md|sh|yml|service|txt)$|^(?:bin|\.ci)\/[^.]+$/u.test(file);
}

/** The anchors that a Markdown viewer makes of headings. */
function anchorsOf(file: string): string[] {
  return [...read(file).matchAll(/^#+ (.+)$/gmu)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  );
}

test.run();
