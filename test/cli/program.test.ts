/** The program as scripts see it: streams, exit status, words that no command takes. */
import path from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';
import {run, tryRun, type RunResult} from '../helpers/run.js';

const PROGRAM = path.join(import.meta.dirname, '..', '..', 'bin', 'dev.js');

const test = suite<{node: FakeNode}>('program');

test.before(async (context) => {
  context.node = await startFakeNode();
});

test.after(async ({node}) => {
  await node.dispose();
});

function mars(...words: string[]): Promise<RunResult> {
  // uvu asks for colours, for itself.
  const env = {...process.env, FORCE_COLOR: '0'};
  return tryRun(process.execPath, ['--import', 'tsx', PROGRAM, ...words], {env});
}

test('a word that is no command is 2, with the nearest ones', async () => {
  const {status, stdout, stderr} = await mars('statsu');
  assert.is(status, 2);
  assert.is(stdout, '');
  assert.match(stderr, /no command 'mars statsu': did you mean state, status\?[\s\S]*code: USAGE/u);
});

test('a word of MARS that has no counterpart is answered with what to type', async () => {
  for (const [words, answer] of [
    [['migrate', 'web'], /mars resource move NAME --to NODE/u],
    [['merge-cluster', 'other'], /mars peer leave/u],
    [['shrink', 'web', '1G'], /a disk does not shrink/u],
    [['status', '--window', '30'], /not heard of for 15 s/u],
  ] as const) {
    const {status, stderr} = await mars(...words);
    assert.is(status, 2, words.join(' '));
    assert.match(stderr.replace(/\s+/gu, ' '), answer);
  }
});

test('a stray word after a command without arguments is 2, as JSON too', async () => {
  const {status, stdout, stderr} = await mars('--json', 'resource', 'list', 'stray');
  assert.is(status, 2);
  assert.is(stderr, '');
  const {error} = JSON.parse(stdout) as {error: {code: string; message: string}};
  assert.is(error.code, 'USAGE');
  assert.match(error.message, /mars resource list takes no argument, got 'stray'/u);
});

test('the exit status of a code is that of the process, and stdout stays empty', async ({node}) => {
  const {status, stdout, stderr} = await mars('--home', node.home, 'primary', 'nobody');
  assert.is(status, 3);
  assert.is(stdout, '');
  assert.match(stderr, /code: RESOURCE_UNKNOWN \(exit 3/u);
});

test('help goes to stdout and is done', async () => {
  for (const words of [
    ['help', 'status'],
    ['status', '--help'],
    ['status', '-h'],
  ]) {
    const {status, stdout} = await mars(...words);
    assert.is(status, 0);
    assert.match(stdout, /USAGE\n {2}\$ mars status \[NAME\]/u);
  }

  assert.match((await mars('version')).stdout, /^mars\/\d/u);
});

test('a reader that goes away ends the command in silence', async ({node}) => {
  const event = JSON.stringify({schema: 1, time: '2026', severity: 'info', text: 'x'.repeat(1000)});
  node.daemon.answers.set('GET /v1/events', () => `${event}\n`.repeat(2000));
  const words = [process.execPath, '--import', 'tsx', PROGRAM, 'events', '--home', node.home];
  const pipe = `set -o pipefail; ${words.map((word) => `'${word}'`).join(' ')} | head -n 1 | wc -l`;
  assert.is((await run('bash', ['-c', pipe])).trim(), '1');
});

test('a daemon that goes away ends those who follow with 4', async ({node}) => {
  node.daemon.answers.set('GET /v1/events?follow=1', () => {
    setImmediate(() => {
      node.daemon.cutConnections();
    });
    return new Promise(() => undefined);
  });
  const {status, stderr} = await mars('events', '--follow', '--home', node.home);
  assert.is(status, 4);
  assert.match(stderr, /DAEMON_UNREACHABLE/u);
});

test.run();
