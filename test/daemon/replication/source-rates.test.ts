import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {SourceRates} from '../../../src/daemon/replication/source-rates.js';

const FAR = 2 ** 40;

/** Lets a source run for some seconds at a rate, from `atMs` on. @returns when it ended */
function run(
  rates: SourceRates,
  from: {atMs: number; doneBytes: number},
  seconds: number,
  bytesPerSecond: number,
  options: {missing?: number; others?: readonly string[]} = {},
): {atMs: number; doneBytes: number} {
  let {atMs, doneBytes} = from;
  for (let step = 0; step < seconds * 2; step += 1) {
    rates.note(doneBytes, options.missing ?? FAR, options.others ?? ['beta'], atMs);
    atMs += 500;
    doneBytes += bytesPerSecond / 2;
  }

  return {atMs, doneBytes};
}

const START = {atMs: 1000, doneBytes: 0};

test('a source that leaves us far behind is slow where another was not tried', () => {
  const rates = new SourceRates();
  rates.begin('alpha');
  const early = run(rates, START, 9, 1000);
  assert.equal([...rates.slow(early.atMs)], [], 'not judged yet');
  const {atMs} = run(rates, early, 5, 1000);
  assert.equal([...rates.slow(atMs)], ['alpha']);
});

test('one that gives nothing is slow, too', () => {
  const rates = new SourceRates();
  rates.begin('alpha');
  const {atMs} = run(rates, START, 12, 0, {missing: 1});
  assert.equal([...rates.slow(atMs)], ['alpha']);
});

test('without another source, and near the end, nobody is slow', () => {
  const rates = new SourceRates();
  rates.begin('alpha');
  const alone = run(rates, START, 20, 1000, {others: []});
  const near = run(rates, alone, 20, 1000, {missing: 5000});
  assert.equal([...rates.slow(near.atMs)], []);
});

test('the slower of two is left for good, and each is tried once', () => {
  const rates = new SourceRates();
  rates.begin('alpha');
  let at = run(rates, START, 12, 1000);
  rates.begin('beta');
  at = run(rates, at, 30, 1200, {others: ['alpha']});
  assert.equal([...rates.slow(at.atMs)], ['alpha'], 'beta is no worse');
  rates.begin('beta');
  at = run(rates, at, 12, 100, {others: ['alpha']});
  assert.equal([...rates.slow(at.atMs)], ['beta'], 'alpha was better');
  rates.begin('alpha');
  at = run(rates, at, 30, 90);
  assert.equal([...rates.slow(at.atMs)], ['beta'], 'both are slow: who is there stays');
});

test('after ten minutes all is forgotten', () => {
  const rates = new SourceRates();
  rates.begin('alpha');
  const {atMs} = run(rates, START, 12, 1000);
  assert.equal([...rates.slow(atMs + 590_000)], ['alpha']);
  assert.equal([...rates.slow(atMs + 610_000)], []);
});

test.run();
