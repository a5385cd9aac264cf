/** `mars status`: what people see first, and what monitoring gets. */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {plainPaint} from '../../src/cli/paint.js';
import {renderStatus, worstHealth} from '../../src/cli/render-status.js';
import type {Health} from '../../src/control/health.js';
import {DiskError} from '../../src/core/errors.js';
import {fakeStatus, fakeStatusDocument} from '../helpers/fake-daemon.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';

const test = suite<{node: FakeNode}>('status');

const SINCE = '2026-11-22T10:00:00.000Z';
const NOW_MS = Date.parse('2026-11-22T10:05:00Z');
const RENDER = {paint: plainPaint, nowMs: NOW_MS, extended: false};

test.before.each(async (context) => {
  context.node = await startFakeNode();
});

test.after.each(async ({node}) => {
  await node.dispose();
});

test('the first line says that all is well', () => {
  const text = renderStatus(fakeStatusDocument(fakeStatus('web')), RENDER);
  assert.is(
    text,
    [
      'alpha: all is well, 1 resource',
      '',
      'NAME      ROLE     STATE     SIZE    LOG      UNREPLAYED',
      'web       primary  UpToDate  10 GiB  768 MiB  4 KiB',
    ].join('\n'),
  );
});

test('the first line says what is not well; then what, since when, why, what to do', () => {
  const message = {
    code: 'LOG_SPACE',
    severity: 'critical',
    text: 'ENOSPC on /h',
    since: SINCE,
  } as const;
  const bad = fakeStatus('db', {health: 'critical', state: 'EmergencyMode', messages: [message]});
  const text = renderStatus(fakeStatusDocument(fakeStatus('web'), bad), RENDER);
  assert.match(text, /^alpha: NOT well: 1 critical of 2 resources\n/u);
  assert.match(text, /\ndb: critical: LOG_SPACE\n {2}what: {2}ENOSPC on \/h\n/u);
  assert.match(text, /\n {2}since: 2026-11-22 10:00:00Z \(5 min\)\n {2}why: {3}The file system/u);
  assert.match(text, /\n {2}do: {4}Free space on it/u);
});

test('bad health without a message is explained by its state', () => {
  const bad = fakeStatus('db', {health: 'warning', state: 'Detached', role: 'none'});
  const text = renderStatus(fakeStatusDocument(bad), RENDER);
  assert.match(text, /db: warning: Detached\n {2}why:[\s\S]*do: {4}mars attach db/u);
});

test('who waits says for what, since when, until when', () => {
  const waitingFor = {reason: 'space on /h', since: SINCE, until: '2026-11-22T10:06:00Z'};
  const text = renderStatus(fakeStatusDocument(fakeStatus('web', {waitingFor})), RENDER);
  assert.match(
    text,
    /web waits for: space on \/h, since .* \(5\s+min\), at\s+the\s+latest\s+until/u,
  );
});

test('it fits 80 columns with the longest names and states', () => {
  const name = 'x'.repeat(63);
  const message = {
    code: 'LOG_TORN',
    severity: 'warning',
    text: 'y '.repeat(90),
    since: SINCE,
  } as const;
  const bad = fakeStatus(name, {
    ...{role: 'remainsPrimary', state: 'DefectiveImage', health: 'warning'},
    ...{sizeBytes: 1023 * 2 ** 20, messages: [message], position: null},
  });
  const text = renderStatus(fakeStatusDocument(bad), RENDER);
  const long = text.split('\n').filter((line) => line.length > 80 && !line.startsWith(name));
  assert.equal(long, []);
  assert.match(text, /x…x/u);
});

test('-x adds all positions', () => {
  const text = renderStatus(fakeStatusDocument(fakeStatus('web')), {...RENDER, extended: true});
  assert.match(text, /position +00000001a2f3c410\n +durable/u);
});

test('the worst health counts', () => {
  const worst = (...healths: Health[]): Health =>
    worstHealth(healths.map((health) => fakeStatus('web', {health})));
  assert.is(worst(), 'ok');
  assert.is(worst('ok', 'unknown'), 'unknown');
  assert.is(worst('unknown', 'warning', 'ok'), 'warning');
  assert.is(worst('warning', 'critical', 'unknown'), 'critical');
});

test('--exit-code is that of a monitoring plugin, and the document is printed all the same', async ({
  node,
}) => {
  const expected = {ok: 0, warning: 1, critical: 2, unknown: 3} as const;
  for (const [health, exit] of Object.entries(expected)) {
    const document = fakeStatusDocument(fakeStatus('web', {health: health as Health}));
    node.daemon.answers.set('GET /v1/status', document);
    const result = await node.json('status', '--exit-code');
    assert.is(result.exit, exit);
    assert.equal(result.document, document);
    assert.is((await node.json('status')).exit, 0);
  }
});

test('--exit-code without a daemon is UNKNOWN', async ({node}) => {
  await node.daemon.stop();
  assert.is((await node.run('status', '--exit-code')).exit, 3);
  const {exit, document} = await node.json('status', '--exit-code');
  assert.is(exit, 3);
  assert.match(JSON.stringify(document), /DAEMON_UNREACHABLE/u);
  assert.is((await node.run('status')).exit, 4);
});

test('one resource is asked for by name', async ({node}) => {
  node.daemon.answers.set('GET /v1/status?resource=web', fakeStatusDocument(fakeStatus('web')));
  assert.match((await node.run('view', 'web')).stdout, /all is well/u);
  assert.is((await node.run('role', 'web')).stdout, 'primary\n');
  assert.is((await node.run('view-state', 'web')).stdout, 'UpToDate\n');
});

test('a node without resources says what to type', async ({node}) => {
  node.daemon.answers.set('GET /v1/status', fakeStatusDocument());
  const {stdout, exit} = await node.run('status', '--exit-code');
  assert.match(stdout, /no resources yet: mars resource create/u);
  assert.is(exit, 0);
});

test('--watch shows it again until it is stopped, and outlives a daemon that is away', async ({
  node,
}) => {
  let looks = 0;
  node.daemon.answers.set('GET /v1/status', () => {
    looks += 1;
    if (looks === 1) return fakeStatusDocument(fakeStatus('web'));
    if (looks === 2) throw new DiskError('DAEMON_UNREACHABLE', 'away for a moment');
    throw new DiskError('HOME_NEWER', 'the end of this test');
  });
  const {stdout, exit} = await node.run('status', '--watch', '--interval', '1');
  assert.is(exit, 3);
  assert.match(stdout, /all is well[\s\S]*away for a moment/u);
  assert.is((await node.run('status', '--watch', '--json')).exit, 2);
});

test.run();
