import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {
  CRASH_POINTS,
  CRASH_VARIABLE,
  crashBy,
  parseCrashPlan,
} from '../../src/core/crash-points.js';

test('a crash point is named by its name or its number, with a file and a pass', () => {
  const plain = {point: 'file-written', subject: undefined, pass: 1};
  assert.equal(parseCrashPlan('file-written'), plain);
  assert.equal(parseCrashPlan('1'), plain);
  assert.equal(parseCrashPlan('2:7'), {...plain, point: 'file-renamed', pass: 7});
  const grant = {...plain, subject: 'grant.json', pass: 3};
  assert.equal(parseCrashPlan('file-written@grant.json:3'), grant);
  const wrong = ['', '0', '999', 'file', 'file-written:0', 'file-written:x', 'file-written@', ':1'];
  for (const text of wrong) assert.is(parseCrashPlan(text), undefined, text);
});

test('it is the pass that was named, of the file that was named', () => {
  let deaths = 0;
  const plan = {point: 'file-written', subject: 'grant.json', pass: 2} as const;
  const pass = crashBy(plan, () => {
    deaths += 1;
  });
  pass('file-written', 'grant.json');
  pass('file-written', 'slots.json');
  pass('file-renamed', 'grant.json');
  assert.is(deaths, 0);
  pass('file-written', 'grant.json');
  assert.is(deaths, 1);
  pass('file-written', 'grant.json');
  assert.is(deaths, 1);
});

test('a process that is armed dies there by SIGKILL, and the first generation of a disk process only', () => {
  const directory = fs.mkdtempSync('/var/tmp/mars-crash-points-');
  const file = join(directory, 'state.json');
  const module = new URL('../../src/core/json-file.ts', import.meta.url).href;
  const script = `
    const {writeJsonFile} = await import(${JSON.stringify(module)});
    writeJsonFile(${JSON.stringify(file)}, {schema: 1});
  `;
  const write = (environment: Readonly<Record<string, string>>): NodeJS.Signals | null => {
    const words = ['--import', 'tsx', '--input-type=module', '-e', script];
    const env = {...process.env, [CRASH_VARIABLE]: 'file-written@state.json', ...environment};
    const {signal, stderr} = spawnSync(process.execPath, words, {env, timeout: 60_000});
    assert.is(stderr.toString(), '');
    return signal;
  };
  try {
    assert.is(write({}), 'SIGKILL');
    assert.equal(fs.readdirSync(directory), ['state.json.tmp']);
    assert.is(write({MARS_GENERATION: '2'}), null);
    assert.equal(fs.readdirSync(directory), ['state.json']);
  } finally {
    fs.rmSync(directory, {recursive: true});
  }
});

test('a process that arms itself after it has loaded the points dies there as well', () => {
  const points = new URL('../../src/core/crash-points.ts', import.meta.url).href;
  const script = `
    const {armByEnvironment, passCrashPoint} = await import(${JSON.stringify(points)});
    process.env[${JSON.stringify(CRASH_VARIABLE)}] = 'fork-kept';
    passCrashPoint('fork-kept');
    armByEnvironment();
    passCrashPoint('fork-kept');
  `;
  const words = ['--import', 'tsx', '--input-type=module', '-e', script];
  const {signal} = spawnSync(process.execPath, words, {timeout: 60_000});
  assert.is(signal, 'SIGKILL');
});

test('every point has a name and words', () => {
  for (const [name, words] of Object.entries(CRASH_POINTS)) {
    assert.match(name, /^[a-z]+(-[a-z]+)*$/u);
    assert.ok(words.length > 10, name);
  }
});

test.run();
