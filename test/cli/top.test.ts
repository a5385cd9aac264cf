/** `mars top`: rates between two looks, one screen of them, and a terminal that is given back. */
import {EventEmitter} from 'node:events';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {openFullScreen, parseKeys} from '../../src/cli/full-screen.js';
import {plainPaint} from '../../src/cli/paint.js';
import {
  compactBytes,
  compactLatency,
  renderTop,
  SORTS,
  WIDE_COLUMNS,
  type TopView,
} from '../../src/cli/render-top.js';
import {compareSamples, type TopDocument, type TopSample} from '../../src/cli/top-sample.js';
import type {DiskStatus} from '../../src/core/disk-status.js';
import type {Latencies} from '../../src/core/latency.js';
import {fakeReplica, fakeStatus, fakeStatusDocument, fakeView} from '../helpers/fake-daemon.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';

const test = suite<{node: FakeNode}>('top');

test.before.each(async (context) => {
  context.node = await startFakeNode();
});
test.after.each(async ({node}) => {
  await node.dispose();
});

function fakeDisk(pid: number, writtenBytes: number): DiskStatus {
  const counters = {writtenBytes, writes: writtenBytes / 4096, reads: 0, readBytes: 0, flushes: 2};
  return {pid, counters} as unknown as DiskStatus;
}

function sample(atMs: number, disks: Record<string, DiskStatus>): TopSample {
  const replicas = [
    fakeReplica('beta', {lagSeconds: 0.5}),
    fakeReplica('gamma', {lagSeconds: 12, lagBytes: null}),
  ];
  const status = fakeStatusDocument(fakeStatus('db'), fakeStatus('web', {replicas}));
  return {atMs, status, disks: new Map(Object.entries(disks))};
}

const before = sample(1000, {db: fakeDisk(1, 0), web: fakeDisk(2, 0)});
const after = sample(3000, {db: fakeDisk(7, 9_000_000), web: fakeDisk(2, 8_388_608)});
const document = compareSamples(before, after);
const view: TopView = {
  ...{sort: 'name', paused: false, offset: 0, columns: 80, lines: 24, isInteractive: false},
  showsLatency: false,
  paint: plainPaint,
};

test('rates are differences over the time between; a new disk process has none yet', () => {
  const [db, web] = document.resources;
  assert.is(document.intervalSeconds, 2);
  assert.is(web?.writtenBytesPerSecond, 4_194_304);
  assert.is(web?.writesPerSecond, 1024);
  assert.is(web?.flushesPerSecond, 0);
  assert.is(web?.lagSeconds, 12, 'the worst replica');
  assert.is(web?.replayedBytesPerSecond, null, 'a counter that is not there');
  assert.is(db?.writtenBytesPerSecond, null);
  assert.is(db?.lagSeconds, null);
  assert.is(compareSamples(after, after).resources[1]?.writesPerSecond, null);
});

const counted = (write: readonly number[]): Latencies => ({
  write: {counts: write, sumSeconds: 1},
  flush: {counts: [], sumSeconds: 0},
  replay: {counts: [], sumSeconds: 0},
});

test('latency is that of the time between two looks, of the same disk process', () => {
  // Bucket 8 ends at 1024 us, bucket 13 at 32.8 ms.
  const old = {...fakeDisk(2, 0), latencies: counted([0, 500])};
  const now = {
    ...fakeDisk(2, 0),
    latencies: counted([0, 500, 0, 0, 0, 0, 0, 0, 98, 0, 0, 0, 0, 2]),
  };
  const between = compareSamples(sample(1000, {web: old}), sample(3000, {db: now, web: now}));
  const [db, web] = between.resources;
  const {write, flush} = web?.latency ?? {};
  assert.ok(write != null && write.p50Seconds > 512e-6 && write.p50Seconds <= 1024e-6);
  assert.ok(write.p99Seconds > 16e-3 && write.p99Seconds <= 33e-3);
  assert.is(flush, null, 'nothing was flushed');
  assert.is(db?.latency.write, null, 'another process');
  assert.is(document.resources[1]?.latency.write, null, 'an older disk process does not count');
  const narrow = renderTop(between, {...view, showsLatency: true}).split('\n');
  assert.match(narrow[2] ?? '', /^NAME +STATE +WRITE50 +WRITE99 +FLUSH50 /u);
  assert.match(narrow[4] ?? '', /^web +P +UpToDate +773us +25ms +- +- +- +-$/u);
  assert.ok(narrow.slice(2).every((line) => line.length <= 80));
  const wide = renderTop(between, {...view, columns: WIDE_COLUMNS}).split('\n');
  assert.match(wide[2] ?? '', /READ\/S .* LAG +WRITE50 .*REPLAY99$/u);
  assert.ok(wide.every((line) => line.length <= WIDE_COLUMNS));
});

test('a latency has at most five characters', () => {
  for (const [seconds, text] of [
    [undefined, '-'],
    [3e-6, '3us'],
    [0.9994e-3, '999us'],
    [0.9996e-3, '1.0ms'],
    [0.34, '340ms'],
    [2.54, '2.5s'],
    [67, '67s'],
  ] as const) {
    assert.is(compactLatency(seconds), text);
  }
});

test('a line for each resource in 80 columns, sorted as it is wished', () => {
  const lines = renderTop(document, view).split('\n');
  assert.match(lines[0] ?? '', /^alpha: 2 resources, all is well, over 2\.0 s$/u);
  assert.match(lines[2] ?? '', /^NAME +STATE +READ\/S +WRITE\/S /u);
  assert.match(lines[4] ?? '', /^web +P +UpToDate +0 +4\.0M +1\.0K +0 +- +4\.0K +12 s$/u);
  const byLag = renderTop(document, {...view, sort: 'lag'}).split('\n');
  assert.match(byLag[3] ?? '', /^web /u);
  for (const sort of SORTS) {
    const screen = renderTop(document, {...view, sort, isInteractive: true, columns: 100});
    assert.is(screen.split('*').length, 2, `${sort} is marked`);
    assert.ok(lines.slice(2).every((line) => line.length <= 80));
  }
});

test('more rows than lines scroll, and it says how many there are', () => {
  const [row] = document.resources;
  if (row === undefined) throw new Error('there is one');
  const many: TopDocument = {
    ...document,
    resources: Array.from({length: 50}, (_, at) => ({...row, name: `r${at + 10}`})),
  };
  const lines = renderTop(many, {...view, lines: 14, offset: 45}).split('\n');
  assert.is(lines.length, 14);
  assert.match(lines[3] ?? '', /^r50 /u);
  assert.is(lines.at(-1), '10 of 50 shown');
  assert.is(renderTop(many, {...view, lines: Infinity}).split('\n').length, 53);
});

test('numbers have at most five characters', () => {
  for (const [bytes, text] of [
    [null, '-'],
    [0, '0'],
    [1023, '1023'],
    [1023.9, '1.0K'],
    [1536, '1.5K'],
    [10_300, '10K'],
    [5 * 2 ** 40, '5.0T'],
  ] as const) {
    assert.is(compactBytes(bytes), text);
  }
});

class FakeTerminal extends EventEmitter {
  text = '';
  isRaw = false;
  readonly signals: string[] = [];
  readonly pid = 1;
  write = (text: string): boolean => {
    this.text += text;
    return true;
  };
  setRawMode = (mode: boolean): this => {
    this.isRaw = mode;
    return this;
  };
  resume = (): this => this;
  pause = (): this => this;
  kill = (_pid: number, signal: string): true => {
    this.signals.push(signal);
    return true;
  };
}

for (const end of ['close', 'exit', 'SIGTERM', 'SIGINT', 'SIGHUP']) {
  test(`the terminal is given back after ${end}`, () => {
    const terminal = new FakeTerminal();
    const keys: string[] = [];
    const screen = openFullScreen(
      terminal as never,
      terminal,
      (key) => keys.push(key),
      terminal as never,
    );
    assert.ok(terminal.isRaw);
    screen.show('one\ntwo');
    terminal.emit('data', Buffer.from('p\u001B[Cxlq'));
    assert.equal(keys, ['pause', 'right', 'latency', 'quit']);
    if (end === 'close') screen.close();
    else terminal.emit(end);
    assert.not(terminal.isRaw);
    assert.ok(terminal.text.startsWith('\u001B[?1049h'));
    assert.ok(terminal.text.includes('one\u001B[K\r\ntwo\u001B[K'));
    assert.ok(terminal.text.endsWith('\u001B[?25h\u001B[?1049l'));
    assert.equal(terminal.signals, end.startsWith('SIG') ? [end] : []);
    assert.equal(terminal.eventNames(), []);
    const {text} = terminal;
    screen.show('late');
    screen.close();
    assert.is(terminal.text, text, 'nothing comes after that');
  });
}

test('keys that mean nothing are left out', () => {
  assert.equal(parseKeys('\u001B[A\u001BOB\u001B[Dzz\u001B\u0003'), ['up', 'down', 'left', 'quit']);
});

test('without a terminal it prints one snapshot; --json the same as a document', async ({node}) => {
  node.daemon.answers.set('GET /v1/status', fakeStatusDocument(fakeStatus('web')));
  node.daemon.answers.set('GET /v1/resources', {schema: 1, resources: [fakeView('web')]});
  const {stdout, exit} = await node.run('top', '--interval', '1');
  assert.is(exit, 0);
  assert.match(stdout, /^alpha: 1 resource, [\s\S]*\nweb +P +UpToDate +- /u);
  const {document: json} = await node.json('top', '--interval', '1', '--sort', 'lag');
  assert.is((json['resources'] as {name: string}[])[0]?.name, 'web');
  assert.is(json['schema'], 1);
});

test.run();
