/** The replicas in `mars status`: what people see of them, and that nothing is green too early. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {Paint} from '../../src/cli/paint.js';
import {plainPaint} from '../../src/cli/paint.js';
import {copyRates, isCopying} from '../../src/cli/render-replicas.js';
import {renderStatus} from '../../src/cli/render-status.js';
import type {
  PeerMessage,
  ReplicaStatus,
  ResourceState,
  ResourceStatus,
} from '../../src/control/api.js';
import {replicaHealth} from '../../src/control/health.js';
import {fakeFollow, fakeReplica, fakeStatus, fakeStatusDocument} from '../helpers/fake-daemon.js';

const NOW_MS = Date.parse('2026-11-22T10:05:00Z');
const RENDER = {paint: plainPaint, nowMs: NOW_MS, extended: false};
const COPY = {percent: 42.7, doneBytes: 4_589_934_592, totalBytes: 10_737_418_240};
const bracket: Paint = (colour, text) => `<${colour}>${text}</>`;

function show(...replicas: ReplicaStatus[]): string {
  return renderStatus(fakeStatusDocument(fakeStatus('web', {replicas})), RENDER);
}

test('each replica has a line below its resource', () => {
  assert.is(
    show(fakeReplica('beta'), fakeReplica('gamma', {lagSeconds: 3, lagBytes: 0})),
    [
      'alpha: all is well, 1 resource',
      '',
      'NAME      ROLE     STATE     SIZE    LOG      UNREPLAYED',
      'web       primary  UpToDate  10 GiB  768 MiB  4 KiB',
      '  beta    secondary  UpToDate  link up  0.2 s behind (4 KiB)',
      '  gamma   secondary  UpToDate  link up  3.0 s behind (0 B)',
    ].join('\n'),
  );
});

test('copies that are on their way are named in the first line, so that it contradicts no state below', () => {
  const beta = fakeReplica('beta', {state: 'OutDated[F]', lagSeconds: 0});
  const gamma = fakeReplica('gamma', {state: 'OutDated[R]'});
  assert.match(show(beta), /^alpha: all is well, 1 copy catching up, 1 resource\n/u);
  assert.match(show(beta, gamma), /^alpha: all is well, 2 copies catching up, 1 resource\n/u);
  const replicas = [fakeReplica('beta', {role: 'primary'})];
  const follow = fakeFollow();
  const web = fakeStatus('web', {role: 'secondary', state: 'OutDated[FR]', replicas, follow});
  const text = renderStatus(fakeStatusDocument(web), RENDER);
  assert.match(text, /^alpha: all is well, 1 copy catching up, 1 resource\n/u);
});

test('a secondary shows whom it follows', () => {
  const replicas = [fakeReplica('beta', {role: 'primary'})];
  const web = fakeStatus('web', {role: 'secondary', replicas, follow: fakeFollow()});
  const text = renderStatus(fakeStatusDocument(web), RENDER);
  assert.match(text, /\n {2}\(here\) +follows +beta +connected +0\.2 s behind \(4 KiB\)\n/u);
  assert.match(text, /\n {2}beta +primary +UpToDate +link up$/u);
});

test('a copy has a bar, with rate and remaining time where they are known', () => {
  const replica = fakeReplica('beta', {state: 'Syncing', replication: 'syncing', sync: COPY});
  const document = fakeStatusDocument(fakeStatus('web', {replicas: [replica]}));
  assert.match(renderStatus(document, RENDER), /\n {4}copy \[#{10}-{14}\] 42 % of 10 GiB\n/u);
  assert.ok(isCopying(document));
  const doneBytes = COPY.doneBytes - 100 * 2 ** 20;
  const before = fakeStatusDocument(
    fakeStatus('web', {replicas: [{...replica, sync: {...COPY, doneBytes}}]}),
  );
  const rates = copyRates(before, document, 2);
  const text = renderStatus(document, {...RENDER, rates});
  assert.match(text, /\n {4}copy \[#{10}-{14}\] 42 %, 50 MiB\/s, 117 s left\n/u);
  assert.is(copyRates(before, document, 0).size, 0);
});

test('the copy of this node has a bar as well', () => {
  const follow = fakeFollow({replication: 'syncing', sync: COPY});
  const web = fakeStatus('web', {role: 'secondary', state: 'Syncing', health: 'warning', follow});
  const text = renderStatus(fakeStatusDocument(web), RENDER);
  assert.match(text, /\(here\) +follows +beta +connected +syncing\n {4}copy \[/u);
});

const BAD: readonly (readonly [string, Partial<ReplicaStatus>, 'warning' | 'critical'])[] = [
  ['not heard of', {link: 'down'}, 'warning'],
  ['replication is paused', {replication: 'paused'}, 'warning'],
  ['replication is stopped', {replication: 'stopped'}, 'warning'],
  ['far behind', {lagSeconds: 61}, 'warning'],
  ['Syncing', {state: 'Syncing', replication: 'syncing', sync: COPY}, 'warning'],
  ['InConsistent', {state: 'InConsistent'}, 'warning'],
  ['Detached', {state: 'Detached', replication: 'stopped'}, 'warning'],
  ['Forked', {state: 'Forked', replication: 'stopped'}, 'critical'],
  ['Forked', {state: 'Forked', link: 'down'}, 'critical'],
  ['Orphan', {state: 'Orphan'}, 'critical'],
  ['DefectiveLog', {state: 'DefectiveLog'}, 'critical'],
];

for (const [what, changes, health] of BAD) {
  test(`a replica that is bad (${JSON.stringify(changes)}) is never green`, () => {
    const replica = fakeReplica('beta', changes);
    assert.is(replicaHealth(replica), health);
    const document = fakeStatusDocument(fakeStatus('web', {replicas: [replica]}));
    const text = renderStatus(document, {...RENDER, paint: bracket});
    assert.not.match(text, /green/u);
    const plain = renderStatus(document, RENDER);
    assert.match(plain, new RegExp(`^alpha: NOT well: 1 ${health} of 1 resource\\n`, 'u'));
    if (changes.link !== 'down' || what === 'not heard of') {
      assert.ok(plain.includes(`\nweb at beta: ${health}: ${what}`), plain);
    }

    assert.match(plain, /\n {2}since: [\s\S]*\n {2}why: {3}[\s\S]*\n {2}do: {4}/u);
  });
}

test('a primary on another node, and a replica that is a moment behind, are well', () => {
  const states: ResourceState[] = ['UpToDate', 'WriteBack', 'OutDated[F]', 'OutDated[FR]'];
  for (const state of states) assert.is(replicaHealth(fakeReplica('beta', {state})), 'ok', state);
  const other = fakeReplica('beta', {role: 'primary', replication: 'stopped', lagSeconds: null});
  assert.is(replicaHealth(other), 'ok');
});

test('a replica of this node that gets nothing is never green', () => {
  const replicas = [fakeReplica('beta', {role: 'primary'})];
  const bad: [Parameters<typeof fakeFollow>[0], RegExp][] = [
    [{replication: 'paused'}, /web: warning: replication is paused\n[\s\S]*mars up web turns/u],
    [{replication: 'stopped', connected: false}, /web: warning: replication is stopped\n/u],
    [{lagSeconds: 61}, /web: warning: far behind, 61 s behind/u],
  ];
  for (const [follow, expected] of bad) {
    const web = fakeStatus('web', {role: 'secondary', replicas, follow: fakeFollow(follow)});
    const text = renderStatus(fakeStatusDocument(web), RENDER);
    assert.match(text, /^alpha: NOT well: 1 warning of 1 resource\n/u);
    assert.match(text, expected);
  }
});

test('without a primary there is nothing to follow, and that is well', () => {
  const follow = fakeFollow({replication: 'stopped', connected: false, lagSeconds: null});
  const replicas = [fakeReplica('beta', {replication: 'stopped', lagSeconds: null})];
  const web = fakeStatus('web', {role: 'secondary', replicas, follow});
  assert.match(renderStatus(fakeStatusDocument(web), RENDER), /^alpha: all is well/u);
});

test('what the daemon tells of a silent node is not told twice', () => {
  const message = {
    ...({code: 'LINK_DOWN', severity: 'warning', since: '2026-11-22T10:00:00.000Z'} as const),
    text: 'not heard of for 10 s or longer: beta',
  };
  const replicas = [fakeReplica('beta', {link: 'down'}), fakeReplica('gamma', {link: 'down'})];
  const web = fakeStatus('web', {health: 'warning', replicas, messages: [message]});
  const text = renderStatus(fakeStatusDocument(web), RENDER);
  assert.match(text, /web: warning: LINK_DOWN/u);
  assert.not.match(text, /web at beta/u);
  assert.match(text, /web at gamma: warning: not heard of/u);
});

test('where only another node is not well, this one has no trouble of its own', () => {
  const replicas = [fakeReplica('beta', {replication: 'stopped'})];
  const web = fakeStatus('web', {health: 'warning', replicas});
  const text = renderStatus(fakeStatusDocument(web), RENDER);
  assert.match(text, /^alpha: NOT well/u);
  assert.match(text, /web at beta: warning: replication is stopped/u);
  assert.not.match(text, /web: warning/u);
});

test('where this node is disconnected by wish, the switch of this node is what is to be turned', () => {
  const replicas = [fakeReplica('beta', {replication: 'stopped'})];
  const wishes = {connected: false, fetchPaused: false, syncPaused: false, replayPaused: false};
  const web = fakeStatus('web', {health: 'warning', replicas, wishes});
  const text = renderStatus(fakeStatusDocument(web), RENDER);
  assert.match(text, /\n {2}do: {4}mars connect web$/u);
  assert.not.match(text, /On beta/u);
});

test('a replica that is ill by a message of its node is told by that, not by a state that is well', () => {
  const message: PeerMessage = {
    ...{code: 'VERIFY_DIFFERENT', text: 'differs', since: '2026-11-22T10:02:00.000Z'},
    severity: 'critical',
  };
  const text = show(fakeReplica('beta', {messages: [message]}));
  assert.match(text, /\nweb at beta: warning: critical there: VERIFY_DIFFERENT\n/u);
  assert.not.match(text, /Nothing/u);
});

test('a primary by force has no trouble of its own where only a replica has', () => {
  const replicas = [fakeReplica('beta', {replication: 'stopped'})];
  const web = fakeStatus('web', {role: 'forcedPrimary', health: 'warning', replicas});
  const text = renderStatus(fakeStatusDocument(web), RENDER);
  assert.match(text, /\nweb at beta: warning/u);
  assert.not.match(text, /\nweb: /u);
});

test('a folder that is followed does not push the line over 80 columns', () => {
  const follow = fakeFollow({
    source: `folder /srv/${'very-long/'.repeat(8)}inbox`,
    connected: false,
  });
  const web = fakeStatus('web', {role: 'secondary', follow});
  const text = renderStatus(fakeStatusDocument(web), RENDER);
  assert.match(text, /\n {2}\(here\) +follows +a folder +not connected/u);
  for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
});

test('it fits 80 columns with copies and long names', () => {
  const node = 'y'.repeat(63);
  const state = 'InConsistent';
  const replica = fakeReplica(node, {
    ...{role: 'remainsPrimary', state, link: 'down', sync: COPY, lagBytes: 1023 * 2 ** 30},
    waitingFor: {reason: 'z '.repeat(60), since: '2026-11-22T10:00:00Z', until: null},
  });
  const text = show(replica, fakeReplica('beta', {lagSeconds: 4000, replication: 'paused'}));
  const long = text.split('\n').filter((line) => line.length > 80 && !line.startsWith('web at y'));
  assert.equal(long, []);
  assert.match(text, /\n {2}y+…y+ /u);
});

test('-x adds switches and where each replica stands', () => {
  const wishes = {connected: false, fetchPaused: true, syncPaused: false, replayPaused: false};
  const web = fakeStatus('web', {replicas: [fakeReplica('beta')], wishes});
  const text = renderStatus(fakeStatusDocument(web), {...RENDER, extended: true});
  assert.match(
    text,
    /\n {2}switched off {5}connect, fetch\n {2}at beta\n {4}received +0{7}1a2f3c410/u,
  );
});

const SLOT = {
  node: 'beta',
  position: '0000000000001000',
  bytes: 3 * 2 ** 30,
  ageSeconds: 7200,
  at: '2026-11-22T08:05:00.000Z',
};
const LOG = {...fakeStatus('web').log, capBytes: 10 * 2 ** 30, ageLimitSeconds: 604_800};

test('how much log is kept for a replica that is away, for how long, and how much at most', () => {
  const replicas = [fakeReplica('beta', {link: 'down'})];
  const show = (log: ResourceStatus['log'], extended = false): string =>
    renderStatus(fakeStatusDocument(fakeStatus('web', {replicas, log})), {...RENDER, extended});
  assert.match(
    show({...LOG, slots: [SLOT]}),
    /\n {2}log: {3}3 GiB kept for it, for 2 h; at most 10 GiB, 7 d\n/u,
  );
  const dropped = {...SLOT, position: null, bytes: null, ageSeconds: null};
  assert.match(show({...LOG, slots: [dropped]}), /none is kept for it any more/u);
  assert.match(show({...LOG, slots: [SLOT]}, true), /\n {2}slot of beta +0000000000001000\n/u);
});

test('what another node says is shown with its age, and how old that word is', () => {
  const message: PeerMessage = {
    ...{code: 'LOG_SPACE', text: 'no room in /log', since: '2026-11-22T10:02:00.000Z'},
    severity: 'warning',
  };
  const up = show(fakeReplica('beta', {messages: [message]}));
  assert.match(up, /\nweb, beta says: warning: LOG_SPACE\n {2}what: {2}no room in \/log\n/u);
  assert.match(up, /\n {2}since: 2026-11-22 10:02:00Z \(3 min\)$/u);
  assert.match(up, /^alpha: all is well, 1 warning of other nodes, 1 resource\n/u);
  const down = show(fakeReplica('beta', {link: 'down', messages: [message]}));
  assert.match(down, /\(3 min\); last heard of 2026-11-22 10:00:00Z \(5 min\)$/u);
  const info = show(fakeReplica('beta', {messages: [{...message, severity: 'info'}]}));
  assert.not.match(info, /beta says/u);
});

test.run();
