import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {readEventPages} from '../../src/cli/event-pages.js';
import type {EventsPage} from '../../src/control/api.js';
import type {EventLine} from '../../src/core/disk-status.js';

const event = (text: string) => ({text}) as EventLine;

test('pages are asked for until there is nothing new, each from where the last one ended', async () => {
  const pages: Record<string, EventsPage> = {
    '/v1/events/page?resource=web': {schema: 1, events: [event('a'), event('b')], next: '1-20'},
    '/v1/events/page?resource=web&after=1-20': {schema: 1, events: [], next: '2-10'},
    '/v1/events/page?resource=web&after=2-10': {schema: 1, events: [event('c')], next: '2-30'},
    '/v1/events/page?resource=web&after=2-30': {schema: 1, events: [], next: '2-30'},
  };
  const texts: string[] = [];
  const get = (path: string): Promise<EventsPage> => {
    const page = pages[path];
    return page === undefined ? Promise.reject(new Error(path)) : Promise.resolve(page);
  };
  for await (const {text} of readEventPages(get, '/v1/events?resource=web')) texts.push(text);
  assert.equal(texts, ['a', 'b', 'c']);
});

test('who follows goes on behind the last page', async () => {
  const asked: string[] = [];
  const get = (path: string): Promise<EventsPage> => {
    asked.push(path);
    const isLate = asked.length > 2;
    return Promise.resolve({schema: 1, events: isLate ? [event('late')] : [], next: '1-5'});
  };
  const events = readEventPages(get, '/v1/events?follow=1');
  const first = (await events.next()) as {value: EventLine};
  await events.return(undefined);
  assert.is(first.value.text, 'late');
  assert.equal(asked, [
    '/v1/events/page?',
    '/v1/events/page?after=1-5',
    '/v1/events/page?after=1-5',
  ]);
});

test.run();
