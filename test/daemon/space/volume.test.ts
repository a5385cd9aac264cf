/** The ladder on one file system: what is done in which order when a log has no room. */
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {DiskStatus} from '../../../src/core/disk-status.js';
import {Reserve, reserveBytesFor} from '../../../src/daemon/space/reserve.js';
import {Volume, type Member, type VolumeNews} from '../../../src/daemon/space/volume.js';
import {disk} from '../replication/samples.js';

const MIB = 1024 * 1024;
const RESERVE = 8 * MIB;

let directory = '';
let path = '';
let done: string[] = [];
let slots: Record<string, number> = {};
let nowMs = 0;

test.before.each(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'mars-volume-'));
  path = join(directory, 'reserve');
  done = [];
  slots = {};
  nowMs = 0;
});
test.after.each(() => {
  fs.rmSync(directory, {recursive: true, force: true});
});

const full: Partial<DiskStatus> = {
  messages: [{code: 'LOG_SPACE', severity: 'critical', text: '', since: ''}],
};

function member(name: string, priority: number, change: Partial<DiskStatus> = {}): Member {
  return {
    name,
    priority,
    segmentBytes: 4 * MIB,
    disk: disk({mode: 'serve', ...change}),
    isTroubled: change === full,
    trim: () => {
      done.push(`trim ${name}`);
      return Promise.resolve();
    },
    sacrifice: () => {
      if ((slots[name] ?? 0) === 0) return false;
      slots[name] = (slots[name] ?? 0) - 1;
      done.push(`slot of ${name}`);
      return true;
    },
  };
}

async function look(
  volume: Volume,
  freeMib: number,
  members: readonly Member[],
): Promise<VolumeNews> {
  nowMs += 2000;
  const space = {freeBytes: freeMib * MIB, totalBytes: 256 * MIB};
  const news = await volume.look({space, members, nowMs}, RESERVE);
  if (news.reserve !== undefined) done.push(`reserve ${news.reserve}`);
  return news;
}

test('a reserve is two logfiles, a small part of a small file system, or nothing', () => {
  assert.is(reserveBytesFor(64 * MIB, 2 ** 40), 128 * MIB);
  assert.is(reserveBytesFor(64 * MIB, 256 * MIB), 8 * MIB);
  assert.is(reserveBytesFor(4 * MIB, 48 * MIB), 0);
});

test('a reserve is taken at once where there is plenty, and its space is really allocated', async () => {
  const volume = new Volume(new Reserve(path));
  await look(volume, 200, [member('web', 50)]);
  assert.equal(done, ['reserve taken']);
  assert.is(volume.reserve.heldBytes, RESERVE);
  assert.ok(fs.statSync(path).blocks * 512 >= RESERVE);
  assert.is(volume.space?.reserveBytes, RESERVE);
});

test('T18: the ladder is climbed in its order: reserve, spare files, slots of the least important', async () => {
  const volume = new Volume(new Reserve(path));
  slots = {low: 1, high: 1};
  const members = [member('high', 90, full), member('low', 10), member('mid', 50)];
  await look(volume, 200, [member('high', 90)]);
  done = [];
  for (let count = 0; count < 6; count += 1) await look(volume, 0, members);
  assert.equal(done, ['reserve freed', 'trim low', 'trim mid', 'slot of low', 'slot of high']);
});

test('trouble that passes by itself costs nothing', async () => {
  const volume = new Volume(new Reserve(path));
  slots = {web: 1};
  await look(volume, 200, [member('web', 50)]);
  for (let count = 0; count < 8; count += 1) {
    await look(volume, 100, [member('web', 50, count % 2 === 0 ? full : {})]);
  }

  assert.equal(done, ['reserve taken']);
});

test('a reserve that was freed is taken back only when there has been enough for half a minute', async () => {
  const volume = new Volume(new Reserve(path));
  await look(volume, 200, [member('web', 50)]);
  for (let count = 0; count < 2; count += 1) await look(volume, 0, [member('web', 50, full)]);
  assert.not(fs.existsSync(path));
  done = [];
  for (let count = 0; count < 10; count += 1) await look(volume, 30, [member('web', 50)]);
  assert.equal(done, [], 'as much as the reserve is not enough');
  for (let count = 0; count < 10; count += 1) await look(volume, 200, [member('web', 50)]);
  assert.equal(done, []);
  for (let count = 0; count < 10; count += 1) await look(volume, 200, [member('web', 50)]);
  assert.equal(done, ['reserve taken']);
});

test('little room is told before the log has none, and not taken back with the first free byte', async () => {
  const volume = new Volume(new Reserve(path));
  const web = member('web', 50, {log: {...disk().log, spares: 0}});
  await look(volume, 200, [web]);
  fs.rmSync(path);
  let news = await look(volume, 5, [web]);
  assert.is(news.low, undefined, 'one look is none');
  for (let count = 0; count < 3; count += 1) news = await look(volume, 5, [web]);
  assert.match(news.low ?? '', /5 MiB of 256 MiB are free/u);
  for (let count = 0; count < 5; count += 1) news = await look(volume, 9, [web]);
  assert.ok(news.low, 'a little more is not enough');
  for (let count = 0; count < 5; count += 1) news = await look(volume, 100, [web]);
  assert.is(news.low, undefined);
});

test('files that the log uses again count as room', async () => {
  const volume = new Volume(new Reserve(path));
  const web = member('web', 50, {log: {...disk().log, spares: 10}});
  let news = await look(volume, 0, [web]);
  for (let count = 0; count < 5; count += 1) news = await look(volume, 0, [web]);
  assert.is(news.low, undefined);
});

test('full in three hours is told with its time', async () => {
  const volume = new Volume(new Reserve(path));
  const web = member('web', 50);
  let news: VolumeNews | undefined;
  for (let count = 0; count < 200; count += 1) {
    news = await look(volume, 250 - count / 4, [web]);
  }

  assert.match(news?.low ?? '', /full in \d+(?:s|m|h)/u);
  assert.ok((volume.space?.fullInSeconds ?? 0) > 0);
});

test('a burst, and a large file of somebody else, are not told as growth', async () => {
  const volume = new Volume(new Reserve(path));
  const web = member('web', 50);
  for (let count = 0; count < 400; count += 1) {
    const burstMib = Math.min(count, 60) * 40;
    const foreignMib = count < 250 ? 0 : 20_000;
    const {low} = await look(volume, 60_000 - burstMib - foreignMib, [web]);
    assert.is(low, undefined, `after ${count * 2} s`);
  }
});

test.run();
