/** A flush that is alone is committed by the front; one lock keeps the two threads apart. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Committer} from '../../src/disk/committer.js';
import {InlineCommit} from '../../src/disk/inline-commit.js';
import {WORD} from '../../src/disk/shared.js';
import {Rig} from './rig.js';

const RUN = 32;

function makeInline(rig: Rig): {inline: InlineCommit; committer: Committer} {
  const responder = {answer: () => undefined, answerWrite: () => undefined};
  const committer = new Committer({
    files: rig.files,
    clock: rig.clock,
    shared: rig.life.shared,
    responder,
    onFailure: () => undefined,
  });
  return {inline: new InlineCommit(committer, rig.clock), committer};
}

test('alone it is durable when it returns', () => {
  const rig = new Rig();
  const {inline} = makeInline(rig);
  for (let count = 0; count < 3; count += 1) {
    rig.write(count * 4096, 4096);
    rig.clock.advance(1);
    inline.noteRequest(0);
    assert.is(inline.tryCommit(), true);
    assert.is(rig.life.shared.durable.get(), rig.life.front.log.position);
  }

  rig.crash('none');
  rig.assertReads();
});

test('a request that had been waiting beside it hands the next ones over, then it tries again', () => {
  const rig = new Rig();
  const {inline} = makeInline(rig);
  rig.write(0, 4096);
  assert.is(inline.tryCommit(), true);
  inline.noteRequest(0);
  for (let count = 0; count < RUN; count += 1) assert.is(inline.tryCommit(), false);
  assert.is(inline.tryCommit(), true);
  rig.clock.advance(1);
  inline.noteRequest(0);
  assert.is(inline.tryCommit(), true);
  inline.noteRequest(2);
  assert.is(inline.tryCommit(), false);
});

test('while the other thread commits nobody else does, and after its failure nobody is told 0', () => {
  const rig = new Rig();
  const {inline, committer} = makeInline(rig);
  rig.write(0, 4096);
  const durable = rig.life.shared.durable.get();
  const {beforeCall} = rig.files;
  let inside = 0;
  rig.files.beforeCall = (_actor, call) => {
    if (call !== 'syncData') return;
    inside += 1;
    assert.is(inline.tryCommit(), false);
    assert.is(committer.commit(), 'busy');
  };
  rig.files.faults.add({path: /\/log-/u, calls: ['syncData'], kind: 'EIO'});
  assert.is(rig.life.committer.commit(), 'failed');
  assert.is(inside, 1);
  rig.files.beforeCall = beforeCall;
  // The pages are clean now: fdatasync would say 0.
  assert.is(inline.tryCommit(), false);
  assert.is(rig.life.shared.durable.get(), durable);
  rig.life.front.afterRequest();
  assert.is(rig.life.shared.get(WORD.commitFailed), 0);
  assert.is(inline.tryCommit(), true);
  rig.crash('none');
  rig.assertReads();
});

test('who waits when the log is given up gets EIO, not silence', () => {
  const rig = new Rig();
  rig.write(0, 4096);
  const [, unique] = rig.flush();
  rig.life.shared.set(WORD.logDefective, 1);
  assert.is(rig.life.committer.step(), Infinity);
  assert.is(rig.answers.get(unique), 5);
});

test.run();
