/** The judgement of `mars check`: all words of the status, all sides of each limit. */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {judgeCheck, type Limits, type Thresholds} from '../../src/cli/judge-check.js';
import type {ReplicaStatus, ResourceState, ResourceStatus} from '../../src/control/api.js';
import {HEALTHS, healthWithReplicas, type Health} from '../../src/control/health.js';
import {findState, STATE_NAMES} from '../../src/core/states.js';
import {
  fakeFollow,
  fakeReplica,
  fakeStatus,
  fakeStatusDocument,
  fakeVerify,
} from '../helpers/fake-daemon.js';

const test = suite('judge check');

const NONE: Limits = {warn: undefined, crit: undefined};
const LIMITS: Thresholds = {
  lagSeconds: {warn: 60, crit: 300},
  lagBytes: NONE,
  space: {warn: 10, crit: 5},
  fullIn: {warn: 10_800, crit: 1800},
};
const AGE: Thresholds = {
  ...LIMITS,
  verifyAge: {warn: 3600, crit: 7200, nowMs: Date.parse('2026-11-22T11:30:00Z')},
};
const BYTES: Thresholds = {...LIMITS, lagBytes: {warn: 1000, crit: 2000}};

function primary(changes: Partial<ResourceStatus> = {}): ResourceStatus {
  return fakeStatus('web', {replicas: [fakeReplica('beta')], follow: null, ...changes});
}

function secondary(changes: Partial<ResourceStatus> = {}): ResourceStatus {
  const replicas = [fakeReplica('beta', {role: 'primary', lagSeconds: 0, lagBytes: 0})];
  const own = {role: 'secondary', device: null, image: null, openCount: 0} as const;
  return fakeStatus('web', {...own, replicas, follow: fakeFollow(), ...changes});
}

function verdict(resource: ResourceStatus, thresholds = LIMITS): Health {
  return judgeCheck(fakeStatusDocument(resource), undefined, thresholds).health;
}

function beta(changes: Partial<ReplicaStatus>): ResourceStatus {
  return primary({replicas: [fakeReplica('beta', changes)]});
}

function space(freeBytes: number, totalBytes = 1000): ResourceStatus['log'] {
  return {...fakeStatus('web').log, fileSystem: {freeBytes, totalBytes}};
}

/** 900 of 1000 are free, for so long. */
function fullIn(seconds: number | null): ResourceStatus['log'] {
  const log = space(900);
  return {...log, fileSystem: {freeBytes: 900, totalBytes: 1000, fullInSeconds: seconds}};
}

const states = STATE_NAMES.filter((name) => findState(name)?.kind === 'state') as ResourceState[];
const NOT_WELL: Partial<Record<ResourceState, Health>> = {
  ...{Recovery: 'warning', Syncing: 'warning', InConsistent: 'warning', Detached: 'warning'},
  ...{NotJoined: 'warning', EmergencyMode: 'warning', Orphan: 'critical', Forked: 'critical'},
  ...{DefectiveLog: 'critical', DefectiveImage: 'critical'},
};

const TABLE: readonly (readonly [string, ResourceStatus, Health, Thresholds?])[] = [
  ['a primary that is well', primary(), 'ok'],
  ['a primary without others', primary({replicas: []}), 'ok'],
  ['a secondary that is well', secondary(), 'ok'],
  ['compared half an hour too long ago', beta({verify: fakeVerify()}), 'warning', AGE],
  ['the same, and nobody asks', beta({verify: fakeVerify()}), 'ok'],
  [
    'compared far too long ago',
    beta({verify: fakeVerify({verifiedAt: '2026-11-22T09:00:00Z'})}),
    'critical',
    AGE,
  ],
  [
    'compared in time, here',
    secondary({verify: fakeVerify({verifiedAt: '2026-11-22T11:00:00Z'})}),
    'ok',
    AGE,
  ],
  [
    'never compared to the end, here',
    secondary({verify: fakeVerify({verifiedAt: null})}),
    'critical',
    AGE,
  ],
  ['never compared', beta({verify: null}), 'critical', AGE],
  ...HEALTHS.map((health) => [`the daemon says ${health}`, primary({health}), health] as const),
  ['a health of another version', primary({health: 'fine' as Health}), 'unknown'],
  ['a state of another version', primary({state: 'Odd' as ResourceState}), 'unknown'],
  ['a secondary in such a state', secondary({state: 'Odd' as ResourceState}), 'unknown'],
  ['a replica in such a state', beta({state: 'Odd' as ResourceState}), 'unknown'],
  ['a link of another version', beta({link: 'so-so' as 'up'}), 'unknown'],
  ...states.map(
    (state) => [`a replica is ${state}`, beta({state}), NOT_WELL[state] ?? 'ok'] as const,
  ),
  ...states
    .filter((state) => state !== 'NotJoined')
    .map((state) => [`it follows, ${state}`, secondary({state}), NOT_WELL[state] ?? 'ok'] as const),
  ['a replica is away', beta({link: 'down', state: 'OutDated[F]', lagSeconds: 20}), 'warning'],
  ['a replica is away for long', beta({link: 'down', lagSeconds: 301}), 'critical'],
  ['a replica was never heard of', beta({link: 'down', lagSeconds: null}), 'warning'],
  ...(['paused', 'syncing', 'stopped'] as const).flatMap(
    (replication) =>
      [
        [`a replica is ${replication}`, beta({replication}), 'warning'],
        [`it follows, ${replication}`, secondary({follow: fakeFollow({replication})}), 'warning'],
      ] as const,
  ),
  [
    'it follows without a connection',
    secondary({follow: fakeFollow({connected: false})}),
    'warning',
  ],
  ...(
    [
      [60, 'ok'],
      [60.1, 'warning'],
      [300, 'warning'],
      [300.1, 'critical'],
      [null, 'unknown'],
      [undefined as unknown as null, 'unknown'],
    ] as const
  ).flatMap(
    ([lagSeconds, health]) =>
      [
        [`a replica, ${lagSeconds} s behind`, beta({lagSeconds}), health],
        [`it follows, ${lagSeconds} s`, secondary({follow: fakeFollow({lagSeconds})}), health],
      ] as const,
  ),
  ...(
    [
      [1000, 'ok'],
      [1001, 'warning'],
      [2000, 'warning'],
      [2001, 'critical'],
      [null, 'unknown'],
    ] as const
  ).flatMap(
    ([lagBytes, health]) =>
      [
        [`a replica, ${lagBytes} bytes behind`, beta({lagBytes}), health, BYTES],
        [
          `it follows, ${lagBytes} bytes`,
          secondary({follow: fakeFollow({lagBytes})}),
          health,
          BYTES,
        ],
        [`nobody asked for ${lagBytes} bytes`, beta({lagBytes}), 'ok'],
      ] as const,
  ),
  [
    'a first copy is no lag',
    beta({
      ...{state: 'Syncing', replication: 'syncing', lagSeconds: 9999},
      sync: {percent: 1, doneBytes: 1, totalBytes: 100},
    }),
    'warning',
  ],
  ['a primary lags behind nobody', secondary({follow: fakeFollow({lagSeconds: 0})}), 'ok'],
  [
    'nobody is primary: nothing to be behind',
    secondary({
      replicas: [fakeReplica('beta', {lagSeconds: null, replication: 'stopped'})],
      follow: fakeFollow({lagSeconds: null, connected: false, replication: 'stopped'}),
    }),
    'ok',
  ],
  ['100 of 1000 free', primary({log: space(100)}), 'ok'],
  ['99 of 1000 free', primary({log: space(99)}), 'warning'],
  ['50 of 1000 free', primary({log: space(50)}), 'warning'],
  ['49 of 1000 free', primary({log: space(49)}), 'critical'],
  ['nothing free', primary({log: space(0)}), 'critical'],
  ['full in 3 h', primary({log: fullIn(10_800)}), 'ok'],
  ['full before', primary({log: fullIn(10_799)}), 'warning'],
  ['full in half an hour', primary({log: fullIn(1799)}), 'critical'],
  ['full some day', primary({log: fullIn(null)}), 'ok'],
  ['no limits of space', primary({log: space(0)}), 'ok', {...LIMITS, space: NONE}],
  ['a file system of nothing', primary({log: space(0, 0)}), 'unknown'],
  ['free space that is not known', primary({log: {...space(1), fileSystem: null}}), 'unknown'],
  [
    'a resource that this node has no replica of',
    fakeStatus('web', {
      ...{role: 'none', state: 'NotJoined', health: 'ok', replicas: []},
      log: {files: 0, bytes: 0, capBytes: null, firstPosition: null},
    }),
    'ok',
  ],
];

for (const [title, status, health, thresholds] of TABLE) {
  test(`${title}: ${health}`, () => {
    assert.is(verdict(status, thresholds), health);
  });
}

test('each severity counts, info does not, and one of another version is unknown', () => {
  const expected = {info: 'ok', warning: 'warning', critical: 'critical', strange: 'unknown'};
  for (const [severity, health] of Object.entries(expected)) {
    const said = {code: 'LOG_SPACE', text: 'x', since: '2026-11-22T10:00:00Z'} as const;
    const messages = [{...said, severity: severity as 'info'}];
    assert.is(verdict(primary({messages})), health, severity);
  }
});

test('a status of a daemon that knows nothing of free space is unknown', () => {
  const {fileSystem, ...log} = space(1);
  assert.ok(fileSystem);
  assert.is(verdict(primary({log})), 'unknown');
});

test('it is never better than mars status, whatever state, link, replication, lag and role', () => {
  let looks = 0;
  for (const state of states) {
    for (const link of ['up', 'down'] as const) {
      for (const replication of ['continuous', 'paused', 'syncing', 'stopped'] as const) {
        for (const lagSeconds of [0, 61, null]) {
          for (const role of ['primary', 'secondary', 'none'] as const) {
            const other = {state, link, replication, lagSeconds, role};
            for (const status of [beta(other), secondary({replicas: [fakeReplica('b', other)]})]) {
              const shown = healthWithReplicas(status);
              const judged = verdict(status);
              looks += 1;
              const text = JSON.stringify({other, shown, judged});
              assert.ok(HEALTHS.indexOf(judged) <= HEALTHS.indexOf(shown), text);
            }
          }
        }
      }
    }
  }

  assert.is(looks, states.length * 2 * 4 * 3 * 3 * 2);
});

test('the worst comes first, and says where', () => {
  const web = primary({replicas: [fakeReplica('beta', {state: 'Recovery'})]});
  const database = {...beta({lagSeconds: 400}), name: 'db'};
  const document = fakeStatusDocument(web, database);
  const {health, problems} = judgeCheck(document, undefined, LIMITS);
  assert.is(health, 'critical');
  assert.equal(problems, [
    {resource: 'db', replica: 'beta', health: 'critical', text: '7 min behind'},
    {resource: 'web', replica: 'beta', health: 'warning', text: 'Recovery'},
  ]);
  assert.is(judgeCheck(document, 'web', LIMITS).health, 'warning');
});

test('what the daemon alone knows is said by state and role', () => {
  const status = primary({health: 'warning', role: 'remainsPrimary', replicas: []});
  const {problems} = judgeCheck(fakeStatusDocument(status), undefined, LIMITS);
  assert.equal(
    problems.map(({text}) => text),
    ['UpToDate, role remainsPrimary'],
  );
});

test('a resource that is not there is unknown; a node without any is well', () => {
  assert.is(judgeCheck(fakeStatusDocument(primary()), 'db', LIMITS).health, 'unknown');
  assert.is(judgeCheck(fakeStatusDocument(), undefined, LIMITS).health, 'ok');
});

test('the numbers have ranges, and null where they are not known', () => {
  const status = primary({
    replicas: [fakeReplica('beta', {lagBytes: null}), fakeReplica('gamma', {role: 'primary'})],
    log: {...space(333, 1001), capBytes: 5000},
  });
  const {values} = judgeCheck(fakeStatusDocument(status), undefined, LIMITS);
  assert.equal(values, [
    {label: 'web/beta/lag', value: 0.2, unit: 's', warn: '60', crit: '300', max: null},
    {label: 'web/beta/lag_bytes', value: null, unit: 'B', warn: null, crit: null, max: null},
    {label: 'web/log', value: 805_306_368, unit: 'B', warn: null, crit: null, max: 5000},
    {label: 'web/log_free', value: 333, unit: 'B', warn: '101:', crit: '51:', max: 1001},
  ]);
  const own = judgeCheck(fakeStatusDocument(secondary()), undefined, LIMITS).values;
  assert.equal(
    own.map(({label}) => label),
    ['web/alpha/lag', 'web/alpha/lag_bytes', 'web/log', 'web/log_free'],
  );
});

test.run();
