/** The commands of replication: what they ask the daemon for, and what they make of its answers. */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {renderCopy} from '../../src/cli/render-flow.js';
import {DiskError} from '../../src/core/errors.js';
import {
  fakeFlow,
  fakeReplay,
  fakeReplica,
  fakeStatus,
  fakeStatusDocument,
  fakeView,
} from '../helpers/fake-daemon.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';

const test = suite<{node: FakeNode}>('replication');

const COPY = {percent: 42.7, doneBytes: 427, totalBytes: 1000};

test.before.each(async (context) => {
  context.node = await startFakeNode();
});

test.after.each(async ({node}) => {
  await node.dispose();
});

test('resource join sends an absolute path, and tells what to wait for', async ({node}) => {
  node.daemon.answers.set('POST /v1/resources/web/join', fakeView('web'));
  const argv = ['web', '--image', 'x/../web.img', '--preallocate'];
  const {exit, stdout} = await node.run('resource join', ...argv);
  assert.is(exit, 0);
  assert.match(stdout, /web: secondary\nnext: mars wait web synced\n/u);
  await node.run('join-resource', 'web', '/dev/null', '--force');
  await node.run('join-resource', 'web');
  assert.equal(
    node.daemon.requests.map(({body}) => body),
    [
      {force: false, preallocate: true, image: `${process.cwd()}/web.img`},
      {force: true, image: '/dev/null'},
      {force: false},
    ],
  );
});

test('resource leave wants to be confirmed, and lists what goes and what stays', async ({node}) => {
  node.daemon.answers.set('POST /v1/resources/web/leave', ({body}: {body: unknown}) => {
    const {dryRun, confirmed} = body as {dryRun: boolean; confirmed: boolean};
    if (!dryRun && !confirmed) throw new DiskError('CONFIRM_NEEDED', 'web has 1 GiB of data');
    const removes = [{path: '/h/resources/web', bytes: 4096}];
    return {schema: 1, name: 'web', dryRun, removes, keeps: ['/dev/sdb']};
  });
  const refused = await node.run('resource leave', 'web');
  assert.is(refused.exit, 3);
  assert.is(refused.code, 'CONFIRM_NEEDED');
  const looked = await node.run('resource leave', 'web', '--dry-run');
  assert.is(looked.stdout, 'would remove /h/resources/web (4 KiB)\nwould keep /dev/sdb\n');
  const {document} = await node.json('leave-resource', 'web', '--yes', '--timeout', '9');
  assert.is(document['dryRun'], false);
  const last = node.daemon.requests.at(-1)?.body;
  assert.equal(last, {dryRun: false, confirmed: true, timeoutSeconds: 9});
});

test('fetch and sync are paused, resumed and shown, by their old names as well', async ({node}) => {
  for (const flow of ['fetch', 'sync'] as const) {
    const {answers} = node.daemon;
    answers.set(`GET /v1/resources/web/${flow}`, fakeFlow('web', flow));
    const paused = fakeFlow('web', flow, {paused: true, state: 'paused'});
    answers.set(`POST /v1/resources/web/${flow}/pause`, paused);
    answers.set(`POST /v1/resources/web/${flow}/resume`, fakeFlow('web', flow));
    assert.equal((await node.json(`${flow} status`, 'web')).document, fakeFlow('web', flow));
    assert.equal((await node.json(`${flow} pause`, 'web')).document, paused);
    assert.is((await node.json(`pause-${flow}`, 'web')).document['state'], 'paused');
    assert.is((await node.json(`${flow} resume`, 'web')).document['state'], 'running');
    assert.is((await node.json(`resume-${flow}`, 'web')).document['state'], 'running');
  }

  const {stdout} = await node.run('fetch status', 'web');
  assert.is(stdout, 'web: fetch running from beta, 0.2 s behind (4 KiB)\n');
});

test('a flow that waits says for what, and a copy has a bar', async ({node}) => {
  const waiting = {reason: 'an answer of beta', since: '2026-11-22T10:00:00Z', until: null};
  const view = fakeFlow('web', 'sync', {state: 'waiting', paused: true, waiting, sync: COPY});
  node.daemon.answers.set('GET /v1/resources/web/sync', view);
  const {stdout} = await node.run('sync status', 'web');
  assert.match(stdout, /sync waiting from beta \(pause wished\), waits for: an answer of beta\n/u);
  assert.match(stdout, /\n {2}copy \[#{10}-{14}\] 42 % of 1000 B\n/u);
});

test('a bar is full only when all is copied', () => {
  const nearly = {percent: 100, doneBytes: 999, totalBytes: 1000};
  assert.is(renderCopy(nearly, 10), `copy [${'#'.repeat(23)}-] 99 %, 10 B/s, 0.1 s left`);
  assert.match(renderCopy({...nearly, doneBytes: 1000}, undefined), /\[#{24}\] 100 %/u);
  assert.match(renderCopy({percent: 0, doneBytes: 0, totalBytes: 0}, 0), /100 %, stands still/u);
  const huge = {percent: 12.3, doneBytes: 2 ** 43, totalBytes: 15 * 2 ** 40};
  assert.ok(renderCopy(huge, 1023.5 * 2 ** 20).length <= 76);
});

test('connect and disconnect are switches of their own', async ({node}) => {
  for (const word of ['connect', 'disconnect']) {
    node.daemon.answers.set(`POST /v1/resources/web/${word}`, fakeView('web'));
    const {document, exit} = await node.json(word, 'web');
    assert.is(exit, 0);
    assert.equal(document, fakeView('web'));
  }
});

test('up and down turn all switches, and stop at the first that is refused', async ({node}) => {
  const {answers} = node.daemon;
  answers.set('GET /v1/resources/web', fakeView('web', {attached: true}));
  for (const word of ['attach', 'detach', 'connect', 'disconnect']) {
    answers.set(`POST /v1/resources/web/${word}`, fakeView('web'));
  }

  for (const verb of ['pause', 'resume']) {
    answers.set(`POST /v1/resources/web/sync/${verb}`, fakeFlow('web', 'sync'));
    answers.set(`POST /v1/resources/web/fetch/${verb}`, fakeFlow('web', 'fetch'));
    answers.set(`POST /v1/resources/web/replay/${verb}`, fakeReplay('web'));
  }

  assert.equal((await node.json('up', 'web')).document, fakeView('web', {attached: true}));
  const up = ['attach', 'connect', 'sync/resume', 'fetch/resume', 'replay/resume'];
  const post = (step: string): string => `POST /v1/resources/web/${step}`;
  assert.equal(node.daemon.lines, [...up.map(post), 'GET /v1/resources/web']);
  node.daemon.requests.length = 0;
  assert.is((await node.run('down', 'web')).exit, 0);
  const down = ['detach', 'disconnect', 'sync/pause', 'fetch/pause', 'replay/pause'];
  assert.equal(node.daemon.lines, [...down.map(post), 'GET /v1/resources/web']);
  node.daemon.requests.length = 0;
  answers.set('POST /v1/resources/web/detach', () => {
    throw new DiskError('RESOURCE_PRIMARY', 'web is primary here');
  });
  assert.is((await node.run('down', 'web')).code, 'RESOURCE_PRIMARY');
  assert.equal(node.daemon.lines, [post('detach')]);
});

test('what there is to know besides is said below the outcome', async ({node}) => {
  const notes = ['nothing was heard of alpha for 3 min: what it wrote since is not here'];
  const view = fakeView('web', {role: 'forcedPrimary', notes});
  node.daemon.answers.set('POST /v1/resources/web/primary', view);
  const {stdout} = await node.run('primary', 'web', '--force');
  assert.is(stdout, `web: forcedPrimary\n  note: ${notes[0] ?? ''}\n`);
});

test('a dry run of force is refused where force would be', async ({node}) => {
  const {answers} = node.daemon;
  const force = ['primary', 'web', '--force', '--dry-run'] as const;
  const without = {state: 'NotJoined', role: 'none', replicas: [fakeReplica('beta')]} as const;
  answers.set('GET /v1/status?resource=web', fakeStatusDocument(fakeStatus('web', without)));
  const none = await node.run(...force);
  assert.is(none.code, 'RESOURCE_UNKNOWN');
  assert.match(none.stderr.replace(/\s+/gu, ' '), 'known ones: beta');
  const copied = {state: 'InConsistent', role: 'secondary'} as const;
  answers.set('GET /v1/status?resource=web', fakeStatusDocument(fakeStatus('web', copied)));
  assert.is((await node.run(...force)).code, 'REPLICA_INCONSISTENT');
});

test('fork show tells where histories part; resolve wants to be confirmed', async ({node}) => {
  const {answers} = node.daemon;
  const side = {role: 'primary', state: 'UpToDate', epoch: 'e', position: '0000000000002000'};
  const view = {
    ...{schema: 1, name: 'web', forked: true, position: '0000000000001000'},
    sides: [
      {...side, node: 'alpha', role: 'secondary', state: 'Forked', link: 'here', ownBytes: 4096},
      {...side, node: 'beta', link: 'down', ownBytes: null},
    ],
    branches: [
      {
        ...{branch: 'e-1', directory: '/h/forks/e-1', position: 'p', end: 'q', epoch: 'e'},
        ...{keep: 'beta', keptAt: '2026-11-22T10:00:00.000Z', image: null, bytes: 4096},
        ...{noImage: 'no room', undoable: false},
      },
    ],
  };
  answers.set('GET /v1/resources/web/fork', view);
  assert.equal((await node.json('fork show', 'web')).document, view);
  const {stdout} = await node.run('fork show', 'web');
  assert.match(stdout, /^web: forked, the same up to 0{12}1000\n\nNODE/u);
  assert.match(
    stdout,
    /\nalpha +secondary +Forked +\(here\) +0{12}2000 +4 KiB\nbeta .* unknown\n/u,
  );
  assert.match(stdout, /when beta was kept: branch e-1, 4 KiB\n {2}logfiles {2}\/h\/forks\/e-1\n/u);
  assert.match(stdout, /image +none: no room\n {2}next +mars fork forget web --branch e-1$/mu);
  answers.set('GET /v1/resources/web/fork', {...view, forked: false});
  assert.match((await node.run('fork show', 'web')).stdout, /^web: one history/u);
  answers.set('POST /v1/resources/web/fork/resolve', ({body}: {body: unknown}) => {
    const {dryRun, confirmed, keep} = body as Record<string, unknown>;
    if (dryRun !== true && confirmed !== true) throw new DiskError('CONFIRM_NEEDED', '4 KiB');
    if (keep === 'done') return {name: 'web', dryRun, keep, position: null, lostBytes: 0};
    const lost = {records: 1, writtenBytes: 8192, changedBytes: 4096, complete: true};
    return {
      ...{schema: 1, name: 'web', dryRun, keep, position: view.position, lostBytes: 4096},
      ...{lost: {...lost, firstTime: null, lastTime: null}, repair: 'cut', branch: null},
      noImage: null,
    };
  });
  assert.is((await node.run('fork resolve', 'web', '--keep', 'beta')).code, 'CONFIRM_NEEDED');
  const looked = await node.run('fork resolve', 'web', '--keep', 'beta', '--dry-run');
  const position = view.position;
  assert.is(
    looked.stdout,
    `web: would follow beta; 4 KiB of log behind ${position} would be given up\n` +
      '  1 records that changed 4 KiB of the disk\n' +
      '  the image here holds nothing of it: only log is cut\n' +
      '  image and log are kept: mars fork undo web brings them back\n' +
      'next: the same with --yes\n',
  );
  const {document} = await node.json('fork resolve', 'web', '--keep', 'beta', '--yes');
  assert.is(document['keep'], 'beta');
  const again = await node.run('fork resolve', 'web', '--keep', 'done', '--yes');
  assert.match(again.stdout, 'nothing to resolve');
  assert.is((await node.run('fork resolve', 'web')).exit, 2);
  assert.is((await node.run('fork resolve', 'web', '--keep', '../x')).code, 'NAME_INVALID');
});

test('fork diff names who wrote what; undo, forget and extract send the branch', async ({node}) => {
  const {answers} = node.daemon;
  const side = {from: 'p', to: 'q', records: 2, writtenBytes: 8192, changedBytes: 4096};
  const known = {...side, rangeCount: 1, firstTime: 'one', lastTime: 'two', complete: false};
  const nothing = {records: null, writtenBytes: null, changedBytes: null, rangeCount: null};
  const diff = {
    ...{schema: 1, name: 'web', forked: true, position: 'p', differingBytes: 4096, rangeCount: 1},
    sides: [
      {...known, node: 'alpha', exact: true, error: null},
      {...known, ...nothing, node: 'beta', exact: false, error: 'PEER_UNREACHABLE: gone'},
    ],
    ranges: [{offset: 8192, length: 4096, by: ['alpha']}],
  };
  answers.set('GET /v1/resources/web/fork/diff', diff);
  assert.equal((await node.json('fork diff', 'web')).document, diff);
  const {stdout} = await node.run('fork diff', 'web', '--ranges');
  assert.match(stdout, /^web: the same up to p; at most 4 KiB in 1 ranges differ\n/u);
  assert.match(stdout, /alpha: at least; .*\nbeta: not known: PEER_UNREACHABLE: gone\n/u);
  assert.match(stdout, /8192 +4096 +alpha/u);
  const undone = {schema: 1, name: 'web', dryRun: true, branch: 'e-1', position: 'p', end: 'q'};
  answers.set('POST /v1/resources/web/fork/undo', {...undone, other: 'beta'});
  assert.match((await node.run('fork undo', 'web', '--dry-run')).stdout, /would be brought back/u);
  const gone = {schema: 1, name: 'web', dryRun: false, branch: 'e-1', directory: '/f', bytes: 4096};
  answers.set('POST /v1/resources/web/fork/forget', gone);
  const dropped = await node.run('fork forget', 'web', '--branch', 'e-1', '--yes');
  assert.is(dropped.stdout, 'removed /f (4 KiB)\n');
  const copy = {schema: 1, name: 'web', branch: 'e-1', file: '/x.img', sizeBytes: 4096, end: 'q'};
  answers.set('POST /v1/resources/web/fork/extract', copy);
  assert.is((await node.run('fork extract', 'web')).exit, 2);
  await node.run('fork extract', 'web', '--to', '/x.img', '--timeout', '9');
  assert.equal(
    node.daemon.requests.slice(-3).map(({body}) => body),
    [
      {dryRun: true, confirmed: false, timeoutSeconds: 600},
      {branch: 'e-1', dryRun: false, confirmed: true, timeoutSeconds: 60},
      {to: '/x.img', timeoutSeconds: 9},
    ],
  );
});

test('resource join --replace shows what goes, and wants --yes', async ({node}) => {
  const removal = {schema: 1, name: 'web', dryRun: true, removes: [{path: '/r', bytes: 4096}]};
  const {answers, requests} = node.daemon;
  answers.set('POST /v1/resources/web/join', {...removal, keeps: ['/dev/sdx']});
  const {stdout} = await node.run('resource join', 'web', '--replace', '--dry-run');
  assert.is(stdout, 'would remove /r (4 KiB)\nwould keep /dev/sdx\n');
  answers.set('POST /v1/resources/web/join', fakeView('web', {role: 'secondary'}));
  assert.is((await node.run('resource join', 'web', '--replace', '--yes')).exit, 0);
  const wish = {force: false, preallocate: false, replace: true};
  assert.equal(
    requests.map(({body}) => body),
    [
      {...wish, dryRun: true, confirmed: false},
      {...wish, dryRun: false, confirmed: true},
    ],
  );
  for (const words of [['--yes'], ['--dry-run'], ['--replace', '--from', '/mnt']]) {
    assert.is((await node.run('resource join', 'web', ...words)).exit, 2, words.join(' '));
  }
});

test('log cut says what is lost in words and sends where; --undo puts it back', async ({node}) => {
  const {answers} = node.daemon;
  const position = '0000000000003180';
  const lost = {bytes: 8448, records: 2, unreadableBytes: 128, changedBytes: 8192};
  const ranges = Array.from({length: 10}, (_, at) => ({offset: at * 8192, length: 4096}));
  const said = {
    ...{schema: 1, name: 'web', dryRun: true, damaged: true, position, end: 'q', begin: 'b'},
    ...{anew: true, mixed: true, sizeBytes: {before: 8192, after: 4096}, files: [], kept: null},
    lost: {...lost, ranges, firstTime: 'one', lastTime: 'two'},
  };
  answers.set('POST /v1/resources/web/log/cut', said);
  const {stdout} = await node.run('log cut', 'web', '--dry-run', '--at', '3180');
  assert.match(stdout, /^web: the log would be cut at 0000000000003180;/u);
  assert.match(stdout, /2 records that can be told, written from one to two\n/u);
  assert.match(stdout, /in 128 B of that no record can be told/u);
  assert.match(stdout, /and 2 more places/u);
  assert.match(stdout, /The log begins anew there/u);
  assert.match(stdout, /no state that the disk ever had/u);
  assert.match(stdout, /mars resource resize web 8192/u);
  assert.match(stdout, /next: mars log cut web --at 0000000000003180 --yes --force\n$/u);
  const nothing = {...said, damaged: false, position: null};
  answers.set('POST /v1/resources/web/log/cut', nothing);
  assert.is(
    (await node.run('log cut', 'web')).stdout,
    'web: the log is in order, nothing to cut\n',
  );
  const undone = {schema: 1, name: 'web', dryRun: false, position, end: 'q', files: ['log-1']};
  answers.set('POST /v1/resources/web/log/cut/undo', undone);
  assert.equal((await node.json('log cut', 'web', '--undo', '--yes')).document, undone);
  assert.is((await node.run('log cut', 'web', '--at', 'nowhere')).exit, 2);
  assert.is((await node.run('log cut', 'web', '--undo', '--at', position)).exit, 2);
  assert.is((await node.run('log cut', 'all')).exit, 2);
  assert.equal(
    node.daemon.requests.map(({body}) => body),
    [
      {at: position, dryRun: true, confirmed: false, force: false},
      {dryRun: false, confirmed: false, force: false},
      {dryRun: false, confirmed: true},
    ],
  );
});

test('invalidate wants to be confirmed, and names where the copy comes from', async ({node}) => {
  node.daemon.answers.set('POST /v1/resources/web/invalidate', ({body}: {body: unknown}) => {
    const {dryRun, confirmed} = body as {dryRun: boolean; confirmed: boolean};
    if (!dryRun && !confirmed) throw new DiskError('CONFIRM_NEEDED', 'web has 1 GiB of data');
    return {schema: 1, name: 'web', dryRun, source: 'beta'};
  });
  assert.is((await node.run('invalidate', 'web')).code, 'CONFIRM_NEEDED');
  const {stdout} = await node.run('invalidate', 'web', '--dry-run');
  assert.is(stdout, 'web: would be compared with beta, and copied where it differs\n');
  assert.match((await node.run('invalidate', 'web', '--yes')).stdout, /mars wait web synced\n$/u);
  const {document} = await node.json('invalidate', 'web', '-y');
  assert.equal(document, {schema: 1, name: 'web', dryRun: false, source: 'beta'});
});

test('primary --force --dry-run tells what is not known, and asks for nothing', async ({node}) => {
  const since = '2026-11-22T10:00:00.000Z';
  const received = '00000001a2f3c500';
  const silent = fakeReplica('beta', {role: 'primary', link: 'down', since, received});
  const web = fakeStatus('web', {role: 'secondary', replicas: [silent, fakeReplica('gamma')]});
  node.daemon.answers.set('GET /v1/status?resource=web', fakeStatusDocument(web));
  const {document, exit} = await node.json('primary', 'web', '--force', '--dry-run');
  assert.is(exit, 0);
  const position = '00000001a2f3c410';
  assert.equal(document, {
    ...{schema: 1, name: 'web', dryRun: true, position},
    others: [
      ...[{node: 'beta', role: 'primary', position: received, link: 'down', heardAt: since}],
      ...[{node: 'gamma', role: 'secondary', position, link: 'up', heardAt: null}],
    ].map((one) => ({...one, ahead: one.node === 'beta'})),
  });
  const {stdout} = await node.run('primary', 'web', '--force', '--dry-run');
  assert.match(stdout, /beta \(primary\) was last heard of on 2026[\s\S]* more than this node/u);
  assert.match(stdout, /nothing was changed\n$/u);
  assert.is((await node.run('primary', 'web', '--dry-run')).exit, 2);
  assert.equal(
    node.daemon.lines.filter((line) => line.startsWith('POST')),
    [],
  );
});

test('sync limit shows who is copied and who waits, and is set by its old name too', async ({
  node,
}) => {
  const since = '2026-11-22T10:00:00.000Z';
  const view = {
    schema: 1,
    limit: 1,
    running: [{name: 'web', since}],
    waiting: [{name: 'db', since}],
  };
  node.daemon.answers.set('GET /v1/sync-limit', view);
  node.daemon.answers.set('POST /v1/sync-limit', {...view, limit: 0, waiting: []});
  const shown = await node.run('sync limit');
  assert.is(
    shown.stdout,
    `at most 1 at once\ncopied now: web (since ${since})\nwaiting: db (since ${since})\n`,
  );
  assert.equal((await node.json('sync limit')).document, view);
  assert.match((await node.run('set-sync-limit-value', '0')).stdout, /^any number at once\n/u);
  assert.equal(node.daemon.requests.at(-1)?.body, {limit: 0});
  assert.is((await node.run('sync limit', 'many')).exit, 2);
});

test.run();
