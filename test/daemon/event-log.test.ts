import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {
  EVENTS_BYTES_MAX,
  oldEventsFile,
  readEvents,
  readEventsPage,
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

test('pages bring every line once, over the change of the file, and nothing where nothing is new', ({
  file,
}) => {
  const seen: string[] = [];
  let after: string | undefined;
  const read = (resource?: string): number => {
    let count = 0;
    for (;;) {
      const {events, next} = readEventsPage(file, {after, resource});
      seen.push(...events.map(({text}) => text));
      count += events.length;
      if (next === (after ?? '')) return count;
      after = next;
    }
  };
  assert.is(read(), 0, 'there is no file yet');
  const texts = Array.from({length: 3000}, (_, index) => `line ${index} ${'x'.repeat(300)}`);
  for (const text of texts.slice(0, 2000)) tell(file, text);
  assert.is(read(), 2000, 'in several pages');
  fs.renameSync(file, oldEventsFile(file));
  for (const text of texts.slice(2000)) tell(file, text);
  fs.appendFileSync(file, '{"half of a li');
  assert.is(read(), 1000);
  assert.is(read(), 0);
  assert.equal(seen, texts);
  after = undefined;
  assert.is(read('web'), 0);
});

test.run();
