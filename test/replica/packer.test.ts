import {randomBytes} from 'node:crypto';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {PackingWish} from '../../src/core/packing-names.js';
import {Packer} from '../../src/replica/packer.js';

const TEXT = Buffer.alloc(100_000, 'the same again ');
const NOISE = randomBytes(100_000);
const PEER = ['brotli', 'gzip'];

/** A clock that stands still: compression takes no time on it. */
const clock = {wallMs: () => 0, monotonicMs: () => 0};

function packer(wish: () => PackingWish, theirs: readonly string[] | undefined = PEER): Packer {
  return new Packer(wish, theirs, clock);
}

/** How many of some pieces are compressed; each takes so long to send. */
async function countOf(subject: Packer, bytes: Buffer, pieces: number, sendMs: number) {
  let count = 0;
  for (let piece = 0; piece < pieces; piece += 1) {
    if ((await subject.pack(bytes)) !== undefined) count += 1;
    subject.noteSent(bytes.length, sendMs);
  }

  return count;
}

test('nothing is compressed where nobody wishes it, or the peer is older', async () => {
  assert.is(
    await countOf(
      packer(() => 'none'),
      TEXT,
      5,
      10,
    ),
    0,
  );
  assert.is(await countOf(new Packer(() => 'gzip', undefined, clock), TEXT, 5, 10), 0);
});

test('a wish is followed at once, while a stream runs', async () => {
  let wish: PackingWish = 'none';
  const subject = packer(() => wish);
  assert.is(await countOf(subject, TEXT, 2, 10), 0);
  wish = 'gzip';
  assert.is((await subject.pack(TEXT))?.name, 'gzip');
  wish = 'brotli';
  assert.is((await subject.pack(TEXT))?.name, 'brotli');
  wish = 'none';
  assert.is(await subject.pack(TEXT), undefined);
});

test('what does not become smaller is tried ever more rarely, and what does is found again', async () => {
  const subject = packer(() => 'gzip');
  assert.is(await countOf(subject, NOISE, 200, 10), 0);
  assert.ok((await countOf(subject, TEXT, 100, 10)) > 30);
});

test('small pieces go as they are', async () => {
  assert.is(await packer(() => 'gzip').pack(Buffer.alloc(100)), undefined);
});

test('auto compresses for a link that is slow', async () => {
  assert.ok(
    (await countOf(
      packer(() => 'auto'),
      TEXT,
      20,
      100,
    )) > 15,
  );
});

test('auto does nothing for a link that takes everything at once', async () => {
  assert.is(
    await countOf(
      packer(() => 'auto'),
      TEXT,
      20,
      0,
    ),
    0,
  );
});

test.run();
