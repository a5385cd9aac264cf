import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {CODES} from '../../src/core/codes.js';
import {EVENT_CODES} from '../../src/core/events.js';
import {findState, STATE_NAMES} from '../../src/core/states.js';
import {EXPLAINED_WORDS} from '../../src/cli/explanation.js';
import {loadConfig, runCommand} from '../helpers/run-command.js';

const ROOT = path.join(import.meta.dirname, '..', '..');

test('every code, event and state is explained with what to do', async () => {
  assert.ok(EXPLAINED_WORDS.length > 80);
  for (const word of EXPLAINED_WORDS) {
    const {stdout, exit} = await runCommand('explain', word, '--json');
    const document = JSON.parse(stdout) as Record<string, unknown>;
    assert.is(exit, 0);
    assert.is(document['schema'], 1);
    assert.is(document['word'], word);
    assert.ok(String(document['meaning']).length > 10, word);
    if (document['kind'] !== 'event') assert.ok(String(document['remedy']).length > 4, word);
  }
});

test('every word that the control API and a disk process use for a state has an entry', () => {
  const types = ['Role', 'ResourceState'].flatMap((name) =>
    wordsOf('src/control/api.ts', new RegExp(`export type ${name} =([^;]+);`, 'u')),
  );
  const fields = [
    ...wordsOf('src/control/api.ts', /readonly health: ([^;]+);/u),
    ...wordsOf('src/control/api.ts', /readonly mode: ([^;]+);/u),
    ...wordsOf('src/control/api.ts', /readonly state: ('[^;]+);/u),
    ...wordsOf('src/control/api.ts', /readonly replication: ('[^;]+);/u),
    ...wordsOf('src/control/api.ts', /readonly link: ([^;]+);/u),
    ...wordsOf('src/core/disk-status.ts', /readonly phase: ([^;]+);/u),
    ...wordsOf('src/core/disk-status.ts', /readonly mode: ([^;]+);/u),
    ...wordsOf('src/core/disk-status.ts', /readonly state: ([^;]+);/u),
  ];
  assert.ok(types.length >= 20);
  assert.ok(fields.length >= 30);
  // Case does not matter for explain: the phase `syncing` is the state `Syncing`.
  const known = new Set(STATE_NAMES.map((word) => word.toLowerCase()));
  const missing = [...types, ...fields].filter((word) => !known.has(word.toLowerCase()));
  assert.equal(missing, []);
});

test('no word stands for two things', () => {
  const words = EXPLAINED_WORDS.map((word) => word.toLowerCase());
  assert.is(new Set(words).size, words.length);
  const count = Object.keys(CODES).length + Object.keys(EVENT_CODES).length + STATE_NAMES.length;
  assert.is(words.length, count);
});

test('every remedy that names a command names one that exists', async () => {
  const config = await loadConfig();
  const known = new Set(config.commandIDs.map((id) => id.replaceAll(':', ' ')));
  // Words of prose behind the name: `mars works without`, `mars on both nodes`.
  const later = /^(?:works|on both|must be)/u;
  const texts = [
    ...Object.values(CODES).map(({remedy}) => remedy),
    ...STATE_NAMES.map((name) => findState(name)?.action ?? ''),
  ];
  const unknown = texts
    .flatMap((text) => [...text.matchAll(/\bmars ((?:[a-z]+ ?)+)/gu)])
    .map(([, words = '']) => words.trim())
    .filter((words) => !later.test(words))
    .filter((words) => !isCommand(words.split(' '), known));
  assert.equal(unknown, []);
});

/** Text goes on behind a command without a mark: one of the beginnings has to be one. */
function isCommand(words: readonly string[], known: ReadonlySet<string>): boolean {
  return known.has(words.slice(0, 2).join(' ')) || known.has(words[0] ?? '');
}

test('case does not matter, and a near miss is told', async () => {
  assert.match((await runCommand('explain', 'writeback')).stdout, /WriteBack \(state\)/u);
  const miss = await runCommand('explain', 'LOG_SPCE');
  assert.is(miss.exit, 2);
  assert.is(miss.code, 'USAGE');
  assert.match(miss.stderr, /did you mean LOG_SPACE\?/u);
  assert.match((await runCommand('explain', 'space')).stderr, /LOG_SPACE/u);
  assert.match((await runCommand('explain', 'qqqqqqqqqqqq')).stderr, /lists them all/u);
});

test('without a word all words are listed', async () => {
  const {stdout} = await runCommand('explain');
  assert.equal(stdout.trim().split('\n'), [...EXPLAINED_WORDS]);
});

function wordsOf(file: string, pattern: RegExp): string[] {
  const text = fs.readFileSync(path.join(ROOT, file), 'utf8');
  return [...text.matchAll(new RegExp(pattern, 'gu'))].flatMap(([, found = '']) =>
    [...found.matchAll(/'([^']+)'/gu)].map(([, word = '']) => word),
  );
}

test.run();
