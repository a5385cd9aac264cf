/** What a replica shows of the answers of its sources. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {noteFollowed} from '../../../src/daemon/replication/notes.js';
import type {Resource} from '../../../src/daemon/resource.js';
import {diskFollow} from './samples.js';

function hushed(follow: Parameters<typeof noteFollowed>[1]): string[] {
  const codes: string[] = [];
  const resource = {hush: (code: string) => codes.push(code)};
  noteFollowed(resource as unknown as Resource, follow);
  return codes;
}

test('a fork is not shown any longer than until a source goes on with the history that is here', () => {
  const answer = {kind: 'follow', position: '0000000000001000'} as const;
  const flowing = diskFollow({connected: true, answer});
  assert.equal(hushed(flowing), ['SPLIT_BRAIN', 'HISTORY_UNKNOWN']);
  assert.equal(hushed({...flowing, connected: false}), [], 'perhaps the answer to another stream');
  assert.equal(hushed({...flowing, answer: null}), [], 'asked and not answered');
  assert.equal(hushed({...flowing, answer: {...answer, kind: 'forked'}}), []);
  assert.equal(hushed(undefined), []);
});

test.run();
