import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {join} from 'node:path';
import {appendEvent} from '../../src/core/events.js';
import type {EventInput} from '../../src/core/events.js';

const INPUT: EventInput = {
  node: 'alpha',
  resource: 'vol0',
  code: 'LOG_TORN',
  severity: 'warning',
  text: 'cut 512 bytes',
  details: {bytes: 512},
};

test('an event is one line of JSON with its time', () => {
  const directory = fs.mkdtempSync('/var/tmp/mars-events-');
  try {
    const file = join(directory, 'events.jsonl');
    appendEvent(file, Date.UTC(2026, 10, 22, 10, 15), INPUT);
    appendEvent(file, Date.UTC(2026, 10, 22, 10, 16), {...INPUT, text: 'two\nlines'});
    const lines = fs.readFileSync(file, 'utf8').trimEnd().split('\n');
    assert.is(lines.length, 2);
    assert.equal(JSON.parse(lines[0] ?? ''), {
      schema: 1,
      time: '2026-11-22T10:15:00.000Z',
      ...INPUT,
    });
  } finally {
    fs.rmSync(directory, {recursive: true});
  }
});

test('an event that cannot be written is lost without an error', () => {
  const line = appendEvent('/nonexistent/events.jsonl', 0, INPUT);
  assert.is(line.code, 'LOG_TORN');
});

test.run();
