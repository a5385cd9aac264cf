import net from 'node:net';
import {once} from 'node:events';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {DiskError} from '../../../src/core/errors.js';
import type {DiskFollow, DiskStatus} from '../../../src/core/disk-status.js';
import type {ResourceFile} from '../../../src/core/home.js';
import {formatPosition} from '../../../src/core/position.js';
import {systemClock} from '../../../src/core/clock.js';
import type {Candidate} from '../../../src/daemon/replication/choose-source.js';
import {SourceRates} from '../../../src/daemon/replication/source-rates.js';
import type {StreamProtocol} from '../../../src/daemon/replication/disk-stream.js';
import {Follow} from '../../../src/daemon/replication/follow.js';
import {SyncTurns} from '../../../src/daemon/replication/sync-turns.js';
import {until} from '../../helpers/run.js';
import {candidate, disk, entry, file, idOf} from './samples.js';

/** A daemon around one Follow: what it is told can be changed at any time. */
class Rig {
  wishes: ResourceFile | undefined = file();
  others: Candidate[] = [candidate('alpha', {role: 'primary'})];
  status: DiskStatus = disk();
  /** What was asked a moment ago; undefined: nothing. */
  cached: DiskStatus | undefined;
  diskError: DiskError | undefined;
  peerError: DiskError | undefined;
  /** How often the disk process was asked. */
  looks = 0;
  readonly opened: string[] = [];
  readonly failures: unknown[] = [];
  readonly copies: DiskError[] = [];
  readonly answers: DiskFollow[] = [];
  readonly turns = new SyncTurns(
    () => 1,
    () => 'now',
    () => {
      this.follow.poke();
    },
  );
  /** The far ends of the streams that were opened last. */
  peer: net.Socket | undefined;
  local: net.Socket | undefined;
  readonly follow: Follow;
  readonly #abort = new AbortController();
  readonly #sockets: net.Socket[] = [];
  #servers: net.Server[] = [];
  #running: Promise<void> | undefined;

  constructor() {
    this.follow = new Follow({
      clock: systemClock,
      file: () => this.wishes,
      candidates: () => this.others,
      isReplicated: () => this.others.length > 0,
      disk: (isFresh) => {
        this.looks += 1;
        if (this.diskError !== undefined) return Promise.reject(this.diskError);
        return Promise.resolve(isFresh === true ? this.status : (this.cached ?? this.status));
      },
      own: (status) => ({lineage: [entry('e', 0)], position: status.position, copying: false}),
      openPeer: async (nodeId, protocol) => {
        this.opened.push(`${nodeId[0] ?? ''} ${protocol}`);
        if (this.peerError !== undefined) throw this.peerError;
        const [near, far] = await this.#pair();
        this.peer = far;
        return near;
      },
      openDisk: async (protocol: StreamProtocol) => {
        this.opened.push(`disk ${protocol}`);
        const [near, far] = await this.#pair();
        this.local = far;
        return near;
      },
      copyAgain: (reason) => {
        this.copies.push(reason);
        this.status = disk({}, {phase: 'empty', answer: null});
        return Promise.resolve();
      },
      noteAnswer: (answer) => {
        this.answers.push(answer);
      },
      rates: new SourceRates(1000),
      noteFailure: (error) => {
        this.failures.push(error);
      },
      syncTurn: {
        take: () => this.turns.take('web01'),
        leave: (isDone) => {
          this.turns.leave('web01', isDone);
        },
      },
      nodeId: idOf('n'),
      folder: () => undefined,
      noteFolder: () => undefined,
    });
  }

  run(): void {
    this.#running = this.follow.run(this.#abort.signal);
  }

  async end(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) server.close();
  }

  async #pair(): Promise<[net.Socket, net.Socket]> {
    const server = net.createServer({allowHalfOpen: true});
    this.#servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const {port} = server.address() as net.AddressInfo;
    const near = net.connect({port, host: '127.0.0.1', allowHalfOpen: true});
    const [far] = (await once(server, 'connection')) as [net.Socket];
    for (const socket of [near, far]) socket.on('error', () => undefined);
    this.#sockets.push(near, far);
    return [near, far];
  }
}

let rig: Rig;
test.before.each(() => {
  rig = new Rig();
});
test.after.each(async () => {
  await rig.end();
});

const stage = (wanted: string) => (): boolean => rig.follow.state.stage === wanted;

test('a secondary opens the log stream of the primary and splices it', async () => {
  rig.run();
  await until(stage('open'), 5000, 'open stream');
  assert.equal(rig.opened, ['a mars-log/1', 'disk mars-log/1']);
  rig.peer?.write('records');
  assert.ok(rig.local);
  assert.is(String((await once(rig.local, 'data'))[0]), 'records');
  assert.is(rig.follow.state.source?.name, 'alpha');
  assert.is(rig.follow.state.flow, 'fetch');
});

test('a primary, a detached one and one without others do nothing', async () => {
  for (const wishes of [file({designatedRole: 'primary'}), file({attached: false}), undefined]) {
    rig.wishes = wishes;
    assert.is(rig.follow.isWanted, false);
  }

  rig.wishes = file();
  rig.others = [];
  assert.is(rig.follow.isWanted, false);
  rig.run();
  await until(stage('idle'), 5000, 'idle');
  assert.equal(rig.opened, []);
});

test('an image that is not copied yet is synced first', async () => {
  rig.status = disk({}, {phase: 'empty'});
  rig.run();
  await until(stage('open'), 5000, 'open stream');
  assert.equal(rig.opened, ['a mars-sync/1', 'disk mars-sync/1']);
});

test('T11: who is not first in line waits for the others by name, and is next when one ends', async () => {
  rig.status = disk({}, {phase: 'empty'});
  rig.turns.take('web00');
  rig.run();
  await until(stage('waiting'), 5000, 'its turn');
  assert.equal(rig.opened, []);
  const {waiting, flow} = rig.follow.state;
  assert.is(flow, 'sync');
  assert.match(waiting?.reason ?? '', /at most 1 image is copied .* before it web00$/u);
  assert.equal(
    rig.turns.waiting.map(({name}) => name),
    ['web01'],
  );
  rig.turns.leave('web00', true);
  await until(stage('open'), 5000, 'open stream');
  assert.equal(rig.opened, ['a mars-sync/1', 'disk mars-sync/1']);
  assert.equal(
    rig.turns.running.map(({name}) => name),
    ['web01'],
  );
});

test('T11: a copy that ends, and one that is paused meanwhile, give their turn to the next', async () => {
  rig.status = disk({}, {phase: 'syncing'});
  rig.run();
  await until(stage('open'), 5000, 'open stream');
  assert.ok(rig.turns.take('web02'), 'web02 waits');
  rig.wishes = file({syncPaused: true});
  rig.follow.poke();
  await until(() => rig.turns.take('web02') === undefined, 5000, 'the turn of web02');
  rig.turns.leave('web02', true);
  rig.wishes = file();
  await until(stage('open'), 5000, 'open stream');
  assert.ok(rig.turns.take('web02'), 'web02 waits again');
  rig.status = disk();
  rig.peer?.end();
  rig.local?.end();
  await until(() => rig.turns.take('web02') === undefined, 5000, 'the turn of web02');
});

test('the log follows at once when the copy is done', async () => {
  rig.status = disk({}, {phase: 'syncing'});
  rig.run();
  await until(stage('open'), 5000, 'open stream');
  rig.status = disk();
  rig.peer?.end();
  rig.local?.end();
  await until(() => rig.opened.includes('disk mars-log/1'), 5000, 'log stream');
  assert.is(rig.follow.state.waiting, null);
});

for (const [name, change] of [
  ['fetch pause', {fetchPaused: true}],
  ['disconnect', {connected: false}],
] as const) {
  test(`${name} ends the stream, says so, and the opposite begins it again`, async () => {
    rig.run();
    await until(stage('open'), 5000, 'open stream');
    rig.wishes = file(change);
    rig.follow.poke();
    await until(stage('waiting'), 5000, 'end of the stream');
    await until(() => rig.follow.state.waiting?.until === null, 5000, 'a wait by wish');
    assert.match(rig.follow.state.waiting?.reason ?? '', 'by wish');
    rig.wishes = file();
    rig.follow.poke();
    await until(stage('open'), 5000, 'open stream');
  });
}

test('sync pause holds a copy back, not the log', async () => {
  rig.wishes = file({syncPaused: true});
  rig.run();
  await until(stage('open'), 5000, 'open stream');
  rig.status = disk({}, {phase: 'syncing'});
  rig.peer?.resetAndDestroy();
  await until(stage('waiting'), 5000, 'wait');
  await until(() => rig.follow.state.flow === 'sync', 5000, 'held sync');
  assert.is(rig.opened.includes('a mars-sync/1'), false);
});

test('a source that cannot be reached is tried again, with reason, since and until', async () => {
  rig.peerError = new DiskError('PEER_UNREACHABLE', 'no route');
  rig.run();
  await until(() => rig.opened.length >= 2, 5000, 'second try');
  const {waiting} = rig.follow.state;
  assert.match(waiting?.reason ?? '', 'PEER_UNREACHABLE: no route');
  assert.ok(waiting?.until);
  const {since} = waiting;
  await until(() => rig.opened.length >= 3, 5000, 'third try');
  assert.is(rig.follow.state.waiting?.since, since);
  rig.peerError = undefined;
  await until(stage('open'), 10_000, 'open stream');
});

test('log that is gone begins a copy, a fork does not', async () => {
  rig.run();
  await until(stage('open'), 5000, 'open stream');
  rig.status = disk({}, {connected: false, answer: {kind: 'forked', position: '00'}});
  rig.local?.end();
  rig.peer?.end();
  await until(() => rig.answers.length > 0, 5000, 'answer');
  assert.equal(rig.copies, []);
  await until(stage('open'), 10_000, 'open stream');
  rig.status = disk({}, {connected: false, answer: {kind: 'gone', oldest: 'ff'}});
  rig.local?.end();
  rig.peer?.end();
  await until(() => rig.copies.length > 0, 5000, 'copy');
  assert.is(rig.copies[0]?.code, 'LOG_GONE');
  await until(() => rig.opened.includes('disk mars-sync/1'), 10_000, 'sync');
});

test('an answer that was read before the stream is not taken for the answer to it', async () => {
  rig.cached = disk({}, {connected: false, answer: {kind: 'gone', oldest: 'ff'}});
  rig.status = disk({}, {connected: false, answer: null});
  rig.run();
  await until(stage('open'), 5000, 'open stream');
  rig.local?.end();
  rig.peer?.end();
  await until(() => rig.answers.length > 0, 5000, 'answer');
  assert.is(rig.answers[0]?.answer, null);
  await until(stage('open'), 5000, 'next stream');
  assert.equal(rig.copies, []);
});

test('a new primary takes the place of the source', async () => {
  rig.run();
  await until(stage('open'), 5000, 'open stream');
  rig.others = [candidate('alpha'), candidate('beta', {role: 'primary'})];
  rig.follow.poke();
  await until(() => rig.opened.includes('b mars-log/1'), 5000, 'stream from beta');
  await until(() => rig.follow.state.source?.nodeId === idOf('b'), 5000, 'source beta');
});

test('a disk process that does not start is told, and tried again', async () => {
  rig.diskError = new DiskError('LOG_IO', 'broken');
  rig.run();
  await until(() => rig.failures.length > 1, 5000, 'failures');
  assert.match(rig.follow.state.waiting?.reason ?? '', 'LOG_IO: broken');
  rig.diskError = undefined;
  await until(stage('open'), 10_000, 'open stream');
});

test('F20: a primary that is slow gives way to a replica that has the log, and does not come back', async () => {
  const end = formatPosition(1_000_000);
  rig.others = [
    candidate('alpha', {role: 'primary', position: end}),
    candidate('beta', {position: end}),
  ];
  rig.run();
  await until(() => rig.opened.includes('b mars-log/1'), 10_000, 'stream from beta');
  assert.is(rig.opened[0], 'a mars-log/1');
  await until(() => rig.follow.state.source?.name === 'beta', 5000, 'beta as the source');
  // What beta has is here now: it is no more ahead, and goes on all the same.
  rig.status = disk({position: end}, {received: end});
  const before = rig.opened.length;
  rig.follow.poke();
  await until(() => rig.follow.state.stage === 'open', 5000, 'open stream');
  const asked = rig.looks;
  await until(() => rig.looks >= asked + 4, 10_000, 'some looks');
  assert.is(rig.follow.state.source?.name, 'beta');
  assert.is(rig.opened.length, before);
});

const copying = (): DiskStatus => disk({}, {phase: 'empty', answer: null});
/** Every way to wait, what its reason says, and whether a time ends it or somebody has to act. */
const WAITS: readonly [string, (rig: Rig) => void, RegExp, 'a time' | 'somebody'][] = [
  [
    'the disk process starts',
    (each) => (each.status = disk({phase: 'starting'})),
    /the disk process reads its log/u,
    'somebody',
  ],
  [
    'disconnected by wish',
    (each) => (each.wishes = file({connected: false})),
    /mars connect web$/u,
    'somebody',
  ],
  [
    'fetch paused by wish',
    (each) => (each.wishes = file({fetchPaused: true})),
    /mars fetch resume web$/u,
    'somebody',
  ],
  [
    'sync paused by wish',
    (each) => {
      each.status = copying();
      each.wishes = file({syncPaused: true});
    },
    /mars sync resume web$/u,
    'somebody',
  ],
  [
    'nobody is primary or ahead',
    (each) => (each.others = [candidate('beta')]),
    /no node is primary.*\(beta\)/u,
    'somebody',
  ],
  [
    'nobody has a whole image',
    (each) => {
      each.status = copying();
      each.others = [candidate('beta', {state: 'Syncing'})];
    },
    /no replica can be copied: beta has none/u,
    'somebody',
  ],
  [
    'others are copied first',
    (each) => {
      each.status = copying();
      each.turns.take('other');
    },
    /mars sync limit.*before it other$/u,
    'somebody',
  ],
  [
    'the source does not answer',
    (each) => (each.peerError = new DiskError('PEER_UNREACHABLE', 'alpha is away')),
    /PEER_UNREACHABLE: alpha is away/u,
    'a time',
  ],
  [
    'the disk process does not start',
    (each) => (each.diskError = new DiskError('LOG_IO', 'the log cannot be read')),
    /LOG_IO: the log cannot be read/u,
    'a time',
  ],
];

for (const [what, begin, reason, end] of WAITS) {
  test(`P6: ${what}: it waits with a reason, since when, and until when or who ends it`, async () => {
    begin(rig);
    rig.run();
    await until(stage('waiting'), 10_000, what);
    const {waiting, since} = rig.follow.state;
    assert.ok(waiting);
    assert.match(waiting.reason, reason);
    for (const time of [since, waiting.since]) {
      assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000, time);
    }

    if (end === 'somebody') assert.is(waiting.until, null);
    else
      assert.ok(Date.parse(waiting.until ?? '') >= Date.parse(waiting.since), waiting.until ?? '');
  });
}

test.run();
