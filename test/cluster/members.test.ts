import fs from 'node:fs';
import {join} from 'node:path';
import fc from 'fast-check';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {parseAddress, parseListen} from '../../src/cluster/address.js';
import {
  addMember,
  memberByName,
  mergeMembers,
  otherMembers,
  readCluster,
  removeMember,
  setMember,
  writeCluster,
  type Cluster,
  type Member,
} from '../../src/cluster/members.js';

const CLUSTER = 'c1'.repeat(16);
const AT = '2026-11-22T10:00:00.000Z';
const empty: Cluster = {schema: 1, id: CLUSTER, members: [], stamp: 0};
const alpha = member('alpha', 'a1');
const beta = member('beta', 'b1');

function member(name: string, byte: string, change: Partial<Member> = {}): Member {
  return {
    id: byte.repeat(16),
    name,
    address: `${name}:7777`,
    fingerprint: byte.repeat(32),
    addedAt: AT,
    ...change,
  };
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (isDiskError(error)) return error.code;
    throw error;
  }

  return 'none';
}

function withHome(act: (home: string) => void): void {
  const home = fs.mkdtempSync('/var/tmp/mars-members-');
  try {
    act(home);
  } finally {
    fs.rmSync(home, {recursive: true, force: true});
  }
}

test('a cluster is written and read, and unknown keys of members stay', () => {
  withHome((home) => {
    assert.is(readCluster(home), undefined);
    const later = {...beta, compression: 'none'};
    const cluster = {...empty, members: [alpha, later], stamp: 2};
    writeCluster(home, cluster);
    assert.equal(readCluster(home), cluster);
    assert.is(fs.statSync(join(home, 'cluster.json')).mode & 0o777, 0o600);
  });
});

test('a file of the time before members is a cluster of nobody', () => {
  withHome((home) => {
    fs.writeFileSync(join(home, 'cluster.json'), JSON.stringify({schema: 1, id: CLUSTER}));
    assert.equal(readCluster(home), empty);
  });
});

test('files that are not valid are told with the place of the fault', () => {
  const bad: [object, RegExp][] = [
    [{...empty, id: 'x'}, /"id"/u],
    [{...empty, members: [{...alpha, name: '../x'}]}, /"members.0.name"/u],
    [{...empty, members: [{...alpha, address: 'nowhere'}]}, /"members.0.address"/u],
    [{...empty, members: [{...alpha, fingerprint: 'ff'}]}, /"members.0.fingerprint"/u],
    [{...empty, members: [{...alpha, addedAt: 'then'}]}, /"members.0.addedAt"/u],
    [{...empty, members: [{...alpha, bandwidthLimit: 0}]}, /"members.0.bandwidthLimit"/u],
    [{...empty, members: [alpha, alpha]}, /twice/u],
  ];
  withHome((home) => {
    for (const [value, pattern] of bad) {
      fs.writeFileSync(join(home, 'cluster.json'), JSON.stringify(value));
      assert.throws(
        () => readCluster(home),
        (error: unknown) => isDiskError(error, 'STATE_UNREADABLE') && pattern.test(error.message),
      );
    }
  });
});

test('members are added, found by name, and no name is there twice', () => {
  const cluster = addMember(addMember(empty, beta), alpha);
  assert.equal(otherMembers(cluster, beta.id), [alpha]);
  assert.equal(
    otherMembers(cluster, 'x').map(({name}) => name),
    ['alpha', 'beta'],
  );
  assert.equal(memberByName(cluster, 'beta'), beta);
  assert.is(
    codeOf(() => memberByName(cluster, 'gamma')),
    'PEER_UNKNOWN',
  );
  assert.is(
    codeOf(() => addMember(cluster, member('beta', 'b2'))),
    'PEER_NAME_TAKEN',
  );
  assert.is(addMember(cluster, beta), cluster);
});

test('a removed member is not found, and its name is free', () => {
  const cluster = removeMember(addMember(addMember(empty, alpha), beta), beta.id);
  assert.equal(otherMembers(cluster, 'x'), [alpha]);
  assert.is(
    codeOf(() => memberByName(cluster, 'beta')),
    'PEER_UNKNOWN',
  );
  assert.is(removeMember(cluster, beta.id), cluster);
  assert.is(
    codeOf(() => removeMember(cluster, 'nobody')),
    'PEER_UNKNOWN',
  );
  addMember(cluster, member('beta', 'b2'));
});

test('joining again counts more than the removal, whatever the clock says', () => {
  const removed = removeMember(addMember(empty, beta), beta.id);
  const again = addMember(removed, {...beta, addedAt: '2001-01-01T00:00:00.000Z'});
  assert.is(otherMembers(again, 'x').length, 1);
  assert.is(otherMembers(mergeMembers(removed, again.members), 'x').length, 1);
  assert.is(otherMembers(mergeMembers(again, removed.members), 'x').length, 1);
});

test('address and limit are set, and a limit is taken away', () => {
  const cluster = addMember(empty, beta);
  const limited = setMember(cluster, beta.id, {address: 'ssh://beta', bandwidthLimit: 1000});
  assert.equal(memberByName(limited, 'beta'), {
    ...beta,
    address: 'ssh://beta',
    bandwidthLimit: 1000,
  });
  const free = setMember(limited, beta.id, {bandwidthLimit: null});
  assert.equal(memberByName(free, 'beta'), {...beta, address: 'ssh://beta'});
});

test('what is set here is not undone by what others say', () => {
  const here = setMember(addMember(empty, beta), beta.id, {address: '[::1]:1', bandwidthLimit: 5});
  assert.is(mergeMembers(here, [{...beta, bandwidthLimit: 9}]), here);
  const anew = mergeMembers(here, [{...beta, addedAt: '2027-01-01T00:00:00Z', bandwidthLimit: 9}]);
  assert.is(memberByName(anew, 'beta').bandwidthLimit, 5);
  assert.is(memberByName(anew, 'beta').address, beta.address);
});

test('lists come together in any order, and again changes nothing', () => {
  const entry = fc.record({
    which: fc.integer({min: 0, max: 2}),
    second: fc.integer({min: 0, max: 2}),
    key: fc.integer({min: 1, max: 3}),
    removed: fc.boolean(),
  });
  const list = fc.array(entry, {maxLength: 6}).map((entries) =>
    entries.map(({which, second, key, removed}) =>
      member(`n${which}`, `d${which}`, {
        addedAt: new Date(Date.parse(AT) + second * 1000).toISOString(),
        fingerprint: `e${key}`.repeat(32),
        ...(removed ? {removed: true} : {}),
      }),
    ),
  );
  const facts = (cluster: Cluster): unknown =>
    [...cluster.members].sort((left, right) => (left.id < right.id ? -1 : 1));
  fc.assert(
    fc.property(list, list, (left, right) => {
      const one = mergeMembers(mergeMembers(empty, left), right);
      const other = mergeMembers(mergeMembers(empty, right), left);
      assert.equal(facts(one), facts(other));
      assert.is(mergeMembers(one, other.members), one);
    }),
  );
});

test('addresses are those that people type', () => {
  const good: Record<string, unknown> = {
    'host:7777': {kind: 'tls', host: 'host', port: 7777},
    '192.0.2.1:1': {kind: 'tls', host: '192.0.2.1', port: 1},
    '[2001:db8::1]:65535': {kind: 'tls', host: '2001:db8::1', port: 65_535},
    '[fe80::1%eth0]:7': {kind: 'tls', host: 'fe80::1%eth0', port: 7},
    'ssh://root@beta.example.org': {kind: 'ssh', target: 'root@beta.example.org', port: undefined},
    'ssh://beta:2222': {kind: 'ssh', target: 'beta', port: 2222},
    'ssh://[::1]': {kind: 'ssh', target: '::1', port: undefined},
  };
  for (const [text, address] of Object.entries(good)) assert.equal(parseAddress(text), address);
  const bad = ['host', 'host:0', 'host:65536', 'a b:1', ':1', '::1:7', 'ssh://-oProxy=x', '-x:1'];
  for (const text of [...bad, 'ssh://', 'http://x:1', 'ssh://a/b', 'x'.repeat(400)]) {
    assert.is(parseAddress(text), undefined, text);
  }

  assert.equal(parseListen(':7777'), {host: undefined, port: 7777});
  assert.equal(parseListen('0.0.0.0:7777'), {host: '0.0.0.0', port: 7777});
  assert.equal(parseListen('[::]:7'), {host: '::', port: 7});
  assert.is(parseListen('x'), undefined);
});

test.run();
