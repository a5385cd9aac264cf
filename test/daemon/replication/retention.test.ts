import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {DiskStatus} from '../../../src/core/disk-status.js';
import {formatPosition} from '../../../src/core/position.js';
import type {Candidate} from '../../../src/daemon/replication/choose-source.js';
import {Retention} from '../../../src/daemon/replication/retention.js';
import {Slots} from '../../../src/daemon/replication/slots.js';
import {candidate, disk, file, idOf} from './samples.js';

const MIB = 1024 * 1024;
const BETA = idOf('b');

let directory = '';
let nowMs = 0;
let others: Candidate[] = [];
let members = new Set<string>();
let removed = new Set<string>();
let told: (string | null)[] = [];
let dropped: string[] = [];
let back: string[] = [];
let ageLimitSeconds = 0;
let lagMs = Infinity;
let yieldingBytes = 0;
let parts: number | undefined;
let slots: Slots;
let retention: Retention;
const clock = {wallMs: () => nowMs, monotonicMs: () => nowMs};

test.before.each(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'mars-retention-'));
  nowMs = 1000;
  others = [candidate('beta')];
  members = new Set([BETA]);
  removed = new Set();
  told = [];
  dropped = [];
  back = [];
  ageLimitSeconds = 0;
  lagMs = Infinity;
  yieldingBytes = 0;
  parts = undefined;
  slots = new Slots(join(directory, 'slots.json'), clock);
  retention = new Retention({
    clock,
    slots,
    logDirectory: directory,
    file: () => file({logCapBytes: 64 * MIB, logAgeSeconds: ageLimitSeconds}),
    lagMs: () => lagMs,
    yieldingBytes: () => yieldingBytes,
    replicas: () => others,
    partsAt: () => parts,
    isMember: (id) => members.has(id),
    isRemoved: (id) => removed.has(id),
    tellDisk: (position) => {
      told.push(position);
      return Promise.resolve();
    },
    onDropped: (name) => {
      dropped.push(name);
    },
    onBack: (name) => {
      back.push(name);
    },
  });
});
test.after.each(() => {
  fs.rmSync(directory, {recursive: true, force: true});
});

const serving = (change: Partial<DiskStatus> = {}): DiskStatus => disk({mode: 'serve', ...change});

test('a replica that the facts know gets a slot, and the disk process hears of it', async () => {
  await retention.tick(serving());
  assert.is(slots.all.get(BETA)?.position, 1000);
  assert.equal(told, [formatPosition(1000)]);
});

test('P2: where histories have parted a slot stays at the fork: positions behind it are not ours', async () => {
  parts = 700;
  await retention.tick(serving());
  assert.is(slots.all.get(BETA)?.position, 700);
  parts = 900;
  await retention.tick(serving());
  assert.is(slots.all.get(BETA)?.position, 900);
  parts = undefined;
  await retention.tick(serving());
  assert.is(slots.all.get(BETA)?.position, 1000);
});

test('what the disk process knows already is not told again; after its restart it is', async () => {
  await retention.tick(serving({retainFrom: formatPosition(1000)}));
  assert.equal(told, []);
  await retention.tick(serving({retainFrom: null}));
  assert.equal(told, [formatPosition(1000)]);
});

test('a slot follows what the replica has in its image, not what it has received', async () => {
  await retention.tick(serving());
  others = [candidate('beta', {durable: formatPosition(9000), replayed: formatPosition(3000)})];
  await retention.tick(serving());
  assert.is(slots.retainFrom, 3000);
});

test('the slot of one that trails behind on purpose stands at its durable log: H21', async () => {
  await retention.tick(serving());
  const facts = {durable: formatPosition(9000), replayed: formatPosition(1000)};
  others = [candidate('beta', {...facts, historySeconds: 3600})];
  await retention.tick(serving());
  assert.is(slots.retainFrom, 9000);
  const far = serving({position: formatPosition(9000 + 63 * MIB)});
  await retention.tick(far);
  assert.equal(dropped, [], 'the window of a replica is no lag');
});

test('a replica that is copied, or is a fork, does not move its slot', async () => {
  await retention.pin(BETA, 'beta', 200, serving());
  others = [candidate('beta', {sync: {doneBytes: 0, totalBytes: 1}})];
  await retention.tick(serving());
  others = [candidate('beta', {forked: {position: null, with: BETA, text: ''}})];
  await retention.tick(serving());
  assert.is(slots.retainFrom, 200);
});

test('who lags beyond the cap is let go, remembered, and gets no slot by its facts', async () => {
  await retention.tick(serving());
  const far = serving({position: formatPosition(1000 + 65 * MIB)});
  await retention.tick(far);
  assert.equal(dropped, ['beta']);
  assert.is(slots.retainFrom, undefined);
  assert.is(told.at(-1), formatPosition(1000));
  await retention.tick(serving({...far, retainFrom: formatPosition(1000)}));
  assert.is(told.at(-1), null);
  assert.is(slots.isDropped(BETA), true);
});

test('who was let go and has caught up all the same gets its slot back, and needs no copy', async () => {
  await retention.tick(serving());
  const end = 1000 + 65 * MIB;
  const far = serving({position: formatPosition(end)});
  await retention.tick(far);
  assert.is(slots.isDropped(BETA), true);
  others = [candidate('beta', {replayed: formatPosition(end - 5 * MIB)})];
  await retention.tick(far);
  assert.is(slots.isDropped(BETA), true, 'more than a logfile behind');
  others = [candidate('beta', {replayed: formatPosition(end - MIB)})];
  parts = end - 2 * MIB;
  await retention.tick(far);
  assert.is(slots.isDropped(BETA), true, 'its history is another one');
  parts = undefined;
  const given = formatPosition(end - MIB / 2);
  await retention.tick({...far, log: {...far.log, firstPosition: given}});
  assert.is(slots.isDropped(BETA), true, 'what it needs next is not kept');
  await retention.tick(far);
  assert.is(slots.isDropped(BETA), false);
  assert.is(slots.retainFrom, end - MIB);
  assert.equal([dropped, back], [['beta'], ['beta']]);
});

test('log of resources that give way first counts as room', () => {
  const cap = (): number => retention.capBytes(serving());
  const before = cap();
  assert.is(before, 64 * MIB, 'there is room enough here');
  yieldingBytes = 2 ** 40;
  assert.is(cap(), before, 'the limit of the user stays');
});

test('without any room the slot that lags most goes first, if that gives back a logfile', async () => {
  const replayed = 20 * MIB;
  const end = serving({position: formatPosition(replayed), replayed: formatPosition(replayed)});
  await retention.pin(BETA, 'beta', 5 * MIB, end);
  await retention.pin(idOf('c'), 'gamma', 9 * MIB, end);
  await retention.pin(idOf('d'), 'delta', replayed - MIB, end);
  assert.ok(retention.sacrifice(end));
  assert.ok(retention.sacrifice(end));
  assert.not(retention.sacrifice(end), 'what is kept for the last one is less than a file');
  assert.equal(dropped, ['beta', 'gamma']);
  assert.ok(slots.all.has(idOf('d')));
});

test('a node that is no member any more is forgotten, but not at once', async () => {
  await retention.tick(serving());
  others = [];
  members.clear();
  await retention.tick(serving());
  assert.is(slots.all.size, 1);
  nowMs += 61_000;
  await retention.tick(serving());
  assert.is(slots.all.size, 0);
});

test('a node that was removed from the cluster is forgotten at once, and its log is let go', async () => {
  await retention.tick(serving());
  assert.is(slots.all.size, 1);
  others = [];
  members.clear();
  removed.add(BETA);
  await retention.tick(serving({retainFrom: formatPosition(1000)}));
  assert.is(slots.all.size, 0);
  assert.is(told.at(-1), null);
});

test('a pin is in the file and at the disk process when it resolves', async () => {
  await retention.pin(BETA, 'beta', 512, serving());
  assert.is(new Slots(join(directory, 'slots.json'), clock).retainFrom, 512);
  assert.equal(told, [formatPosition(512)]);
});

for (const before of ['kept', 'let go'] as const) {
  test(`a slot that was ${before} and is set back for a copy is not moved on by facts from before the copy`, async () => {
    others = at(1000);
    await retention.tick(serving());
    if (before === 'let go') slots.drop(BETA);
    await retention.pin(BETA, 'beta', 300, serving());
    // The facts that say so are on their way.
    nowMs += 5000;
    await retention.tick(serving());
    assert.is(slots.all.get(BETA)?.position, 300);
    others = at(0, {sync: {doneBytes: 0, totalBytes: 1}});
    await retention.tick(serving());
    assert.is(slots.all.get(BETA)?.position, 300);
    // The copy has ended, and its log was replayed.
    others = at(600);
    await retention.tick(serving());
    assert.is(slots.all.get(BETA)?.position, 600);
  });
}

test('where nobody ever tells of the copy, facts are believed again in the end', async () => {
  others = at(1000);
  await retention.pin(BETA, 'beta', 300, serving());
  await pass(1);
  assert.is(slots.all.get(BETA)?.position, 300);
  await pass(1);
  assert.is(slots.all.get(BETA)?.position, 1000);
});

test('without a disk process nothing is told, and nothing is lost', async () => {
  await retention.tick(undefined);
  assert.equal(told, []);
  assert.is(slots.all.size, 0);
});

/** Ticks once a minute, as a disk that is at position 2000. */
async function pass(minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute += 1) {
    nowMs += 60_000;
    await retention.tick(serving({position: formatPosition(2000)}));
  }
}

const at = (replayed: number, change: object = {}): Candidate[] => [
  candidate('beta', {replayed: formatPosition(replayed), ...change}),
];

test('a slot ages while it stands behind the end, and is young again where it reaches it', async () => {
  others = at(1000);
  await pass(1);
  assert.is(slots.all.get(BETA)?.ageMs, 0, 'it counts from the first look on');
  await pass(5);
  assert.is(slots.all.get(BETA)?.ageMs, 300_000);
  // It moves: what it waits for now has been there for 2 minutes only.
  others = at(1500);
  lagMs = 120_000;
  await pass(1);
  assert.is(slots.all.get(BETA)?.ageMs, 120_000);
  others = at(2000);
  await pass(1);
  assert.is(slots.all.get(BETA)?.ageMs, 0);
});

test('the age outlives a restart of the daemon, and a clock that jumps does not change it', async () => {
  others = at(1000);
  await pass(6);
  slots.flush(true);
  const again = new Slots(join(directory, 'slots.json'), {...clock, wallMs: () => 9e12});
  assert.is(again.all.get(BETA)?.ageMs, 300_000);
});

test('a slot above the limit of age is dropped; one that is being copied is not', async () => {
  ageLimitSeconds = 600;
  others = at(1000, {sync: {doneBytes: 0, totalBytes: 1}});
  slots.pin(BETA, 'beta', 1000);
  await pass(12);
  assert.equal(dropped, []);
  others = at(1000);
  await pass(1);
  assert.equal(dropped, ['beta']);
  assert.is(slots.retainFrom, undefined);
  assert.ok(slots.dropped.has(BETA));
});

test('without a limit of age only bytes count', async () => {
  others = at(1000);
  await pass(100);
  assert.equal(dropped, []);
});

test.run();
