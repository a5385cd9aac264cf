import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {
  EVENTS_BYTES_MAX,
  oldEventsFile,
  readEvents,
  tellEvent,
} from '../../src/daemon/event-log.js';
import {until} from './fake-node.js';

const test = suite<{root: string; file: string}>('event log');

test.before.each((context) => {
  context.root = fs.mkdtempSync('/var/tmp/mars-events-');
  context.file = join(context.root, 'events.jsonl');
});
test.after.each(({root}) => {
  fs.rmSync(root, {recursive: true});
});

function tell(file: string, text: string, resource: string | null = null): void {
  tellEvent(file, 0, {node: 'alpha', resource, code: 'DAEMON_STARTED', severity: 'info', text});
}

async function readAll(file: string, resource?: string): Promise<string[]> {
  let all = '';
  const signal = new AbortController().signal;
  const options = {follow: false, signal, ...(resource === undefined ? {} : {resource})};
  await readEvents(file, options, (text) => (all += text));
  return all.split('\n').filter(Boolean);
}

test('lines come whole, of one resource where asked, and half lines not at all', async ({file}) => {
  assert.equal(await readAll(file), []);
  tell(file, 'one', 'web01');
  tell(file, 'two', 'web02');
  fs.appendFileSync(file, '{"half');
  assert.is((await readAll(file)).length, 2);
  assert.is((await readAll(file, 'web02')).length, 1);
  fs.appendFileSync(file, '\n');
  tell(file, 'x'.repeat(200_000));
  assert.is((await readAll(file)).length, 3);
});

test('a full file is renamed away once, and both are read in order', async ({file}) => {
  tell(file, 'first');
  fs.appendFileSync(file, `${' '.repeat(EVENTS_BYTES_MAX)}\n`);
  tell(file, 'second');
  assert.ok(fs.existsSync(oldEventsFile(file)));
  assert.ok(fs.statSync(file).size < 1000);
  const lines = await readAll(file);
  assert.match(lines[0] ?? '', 'first');
  assert.match(lines[1] ?? '', 'second');
});

test('a follower sees what is written behind a rename', async ({file}) => {
  tell(file, 'first');
  const abort = new AbortController();
  let all = '';
  const done = readEvents(file, {follow: true, signal: abort.signal}, (text) => (all += text));
  await until(() => all.includes('first'), 'the line that is there');
  tell(file, 'second');
  fs.renameSync(file, oldEventsFile(file));
  tell(file, 'third');
  await until(() => all.includes('third'), 'the line in the new file');
  assert.match(all, 'second');
  abort.abort();
  await done;
});

test.run();
