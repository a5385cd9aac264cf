/** A primary's own log that is damaged: mended from a replica that has the same, or left as it is. */
import fs from 'node:fs';
import type {Duplex} from 'node:stream';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {systemClock} from '../../../src/core/clock.js';
import {isDiskError, DiskError} from '../../../src/core/errors.js';
import {createNodeFiles} from '../../../src/core/files.js';
import {
  mendLog,
  noteDamagedFiles,
  withMendedLog,
} from '../../../src/daemon/replication/mend-log.js';
import {findDamage} from '../../../src/log/damage.js';
import {LogServer} from '../../../src/replica/serve-log.js';
import {duplexPair} from '../../helpers/duplex-pair.js';
import {ForkNode, SIZE_BYTES} from './fork-rig.js';

interface State {
  alpha: ForkNode;
  beta: ForkNode;
  /** Positions of alpha's log where something can be damaged, in three segments. */
  at: {readonly first: number; readonly middle: number; readonly last: number};
  before: Map<string, string>;
}

const test = suite<State>('a damaged log of its own');
const RECORD_BYTES = 128 + 4096;

/** Serves the log of a node to whoever opens a stream, as its daemon does. */
function serve(node: ForkNode): Duplex {
  const pair = duplexPair();
  const {position, lineage} = node;
  const epoch = node.segments.at(-1)?.header.epoch ?? '';
  const server = new LogServer({
    stream: pair.left,
    place: node.place,
    clock: systemClock,
    log: () => Promise.resolve({lineage, position, sizeBytes: SIZE_BYTES}),
    positions: () => Promise.resolve({appended: position, epoch, durable: position, timeMs: 0}),
    onAnswer: () => undefined,
    onAck: () => undefined,
  });
  server.run().catch(() => undefined);
  return pair.right;
}

function filesOf({paths}: ForkNode): Map<string, string> {
  const names = fs.readdirSync(paths.logDirectory).sort();
  return new Map(
    names.map((name) => [name, fs.readFileSync(join(paths.logDirectory, name)).toString('base64')]),
  );
}

/** The last logfile as it was. */
function decoded(before: Map<string, string>, {segments}: ForkNode): Buffer {
  return Buffer.from(before.get(segments.at(-1)?.name ?? '') ?? '', 'base64');
}

function damageOf(node: ForkNode) {
  const {files, directory, resourceId} = node.place;
  return findDamage(files, directory, resourceId, {from: 0, to: 0});
}

test.before.each((state) => {
  const [alpha, beta] = [new ForkNode('alpha'), new ForkNode('beta')];
  Object.assign(state, {alpha, beta});
  alpha.begin(1, {position: 0, chain: {low: 0, high: 0}});
  const marks: number[] = [];
  for (const stamps of [
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ]) {
    if (marks.length > 0) alpha.rotate();
    alpha.write(stamps[0] ?? 0);
    marks.push(alpha.position);
    alpha.write(...stamps.slice(1));
  }

  const [first = 0, middle = 0, last = 0] = marks;
  state.at = {first, middle, last};
  beta.receive(alpha);
  alpha.others = [beta];
  if (alpha.context.roles !== undefined) {
    alpha.context.roles = {...alpha.context.roles, open: () => Promise.resolve(serve(beta))};
  }

  state.before = filesOf(alpha);
});
test.after.each(({alpha, beta}) => {
  alpha.dispose();
  beta.dispose();
});

for (const place of ['first', 'middle', 'last'] as const) {
  test(`a record in the ${place} logfile is taken from beta, and the damaged file is kept`, async (state) => {
    const {alpha} = state;
    alpha.damage(state.at[place]);
    const damaged = filesOf(alpha);
    assert.is((await damageOf(alpha))?.position, state.at[place]);
    assert.ok(await mendLog(alpha.context, alpha.resource));
    assert.is(await damageOf(alpha), undefined);
    const kept = [...filesOf(alpha)].filter(([name]) => name.endsWith('.damaged'));
    const log = [...filesOf(alpha)].filter(([name]) => name.startsWith('log-'));
    assert.equal(log, [...state.before], 'every byte of the log is as it was');
    assert.is(kept.length, 1);
    const [name = '', content] = kept[0] ?? [];
    assert.is(damaged.get(name.replace(/^bad-|\.damaged$/gu, '')), content);
    assert.equal(alpha.told, ['LOG_MENDED']);
    assert.match(alpha.resource.messages[0]?.text ?? '', name);
    fs.rmSync(join(alpha.paths.logDirectory, name));
    noteDamagedFiles(alpha.resource);
    assert.equal(alpha.resource.messages, []);
  });
}

test('damage in several logfiles is mended one after the other, and the disk is that of the writer', async (state) => {
  const {alpha} = state;
  for (const at of Object.values(state.at)) alpha.damage(at);
  let starts = 0;
  await withMendedLog(alpha.context, alpha.resource, async () => {
    starts += 1;
    if ((await damageOf(alpha)) !== undefined) throw new DiskError('LOG_CORRUPT', 'damaged');
  });
  assert.is(starts, 2);
  await alpha.replay(alpha.position);
  assert.ok(alpha.image().equals(alpha.model));
});

test('what beta lacks of the last logfile, and is good here, is still there', async (state) => {
  const {alpha, beta} = state;
  alpha.write(10);
  beta.receive(alpha);
  alpha.write(11);
  const before = filesOf(alpha);
  alpha.damage(state.at.last);
  assert.ok(beta.position < alpha.common.position);
  assert.ok(await mendLog(alpha.context, alpha.resource));
  assert.equal(
    [...filesOf(alpha)].filter(([name]) => name.startsWith('log-')),
    [...before],
  );
});

test('rot in the last record, which only the word of the node proves: it is taken from beta', async (state) => {
  const {alpha, beta} = state;
  const last = alpha.position;
  alpha.write(10);
  alpha.stopWriting();
  const before = filesOf(alpha);
  alpha.damage(last);
  assert.is(await damageOf(alpha), undefined, 'no record says so');
  assert.is(alpha.position, last + RECORD_BYTES, 'but the node does, also to its peers');
  assert.not(await mendLog(alpha.context, alpha.resource), 'beta does not have it yet');
  fs.writeFileSync(alpha.segments.at(-1)?.path ?? '', decoded(before, alpha));
  beta.receive(alpha);
  alpha.damage(last);
  assert.ok(await mendLog(alpha.context, alpha.resource));
  assert.equal(
    [...filesOf(alpha)].filter(([name]) => name.startsWith('log-')),
    [...before],
  );
});

async function isLeft(state: State): Promise<void> {
  const {alpha} = state;
  const damaged = filesOf(alpha);
  const failed = await withMendedLog(alpha.context, alpha.resource, () =>
    Promise.reject(new DiskError('LOG_CORRUPT', 'damaged')),
  ).catch((error: unknown) => error);
  assert.ok(isDiskError(failed, 'LOG_CORRUPT'), String(failed));
  assert.equal([...filesOf(alpha)], [...damaged], 'nothing has changed');
  assert.equal(alpha.told, []);
}

test('beta has the same damage: nothing is changed', async (state) => {
  state.alpha.damage(state.at.middle);
  state.beta.damage(state.at.middle);
  await isLeft(state);
});

test('beta does not have the log so far: nothing is changed', async (state) => {
  const {alpha, beta, at} = state;
  const last = beta.segments.at(-1);
  fs.rmSync(last?.path ?? '');
  alpha.damage(at.last);
  await isLeft(state);
});

test('beta has no log from there on any more: nothing is changed', async (state) => {
  const {alpha, beta, at} = state;
  fs.rmSync(beta.segments[0]?.path ?? '');
  alpha.damage(at.first);
  await isLeft(state);
});

test('beta has another history in that epoch: nothing is changed', async (state) => {
  const {alpha, beta, at} = state;
  const other = new ForkNode('alpha');
  try {
    other.begin(1, {position: 0, chain: {low: 0, high: 0}});
    for (const [count, stamps] of [
      [1, 2, 3],
      [4, 50, 60],
      [70, 80, 90],
    ].entries()) {
      if (count > 0) other.rotate();
      other.write(...stamps);
    }

    beta.receive(other);
  } finally {
    other.dispose();
  }

  alpha.damage(at.middle);
  await isLeft(state);
});

test('nobody answers: nothing is changed', async (state) => {
  const {alpha, at} = state;
  if (alpha.context.roles === undefined) throw new Error('no roles');
  alpha.context.roles = {
    ...alpha.context.roles,
    open: () => Promise.reject(new DiskError('PEER_UNREACHABLE', 'away')),
  };
  alpha.damage(at.middle);
  await isLeft(state);
});

test('another error than damage is not touched, and a log that is whole is not changed', async (state) => {
  const {alpha} = state;
  const error = new DiskError('LOG_IO', 'the device fails');
  const found = await withMendedLog(alpha.context, alpha.resource, () =>
    Promise.reject(error),
  ).catch((caught: unknown) => caught);
  assert.is(found, error);
  await isLeft(state);
});

test('a file that has changed while it was mended is left as it is', async (state) => {
  const {alpha, beta, at} = state;
  if (alpha.context.roles === undefined) throw new Error('no roles');
  alpha.damage(at.middle);
  const {path} = alpha.segments[1] ?? {path: ''};
  alpha.context.roles = {
    ...alpha.context.roles,
    open: () => {
      setTimeout(() => {
        fs.utimesSync(path, new Date(), new Date());
      }, 0);
      return Promise.resolve(serve(beta));
    },
  };
  const damaged = filesOf(alpha);
  assert.not(await mendLog(alpha.context, alpha.resource));
  assert.equal([...filesOf(alpha)], [...damaged]);
  assert.ok(createNodeFiles().exists(path));
});

test.run();
