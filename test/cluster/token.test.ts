import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {
  addInvitation,
  isInviting,
  redeem,
  type Invitations,
} from '../../src/cluster/invitations.js';
import {decodeToken, encodeToken, TOKEN_VERSION, type Token} from '../../src/cluster/token.js';

const token: Token = {
  cluster: 'c1'.repeat(16),
  node: 'alpha',
  addresses: ['192.0.2.1:7777', '[2001:db8::1]:7777'],
  fingerprint: 'f0'.repeat(32),
  secret: 'abcdefghijklmnopqrst_-',
  expiresAt: '2026-11-22T11:00:00.000Z',
};
const NOW = Date.parse('2026-11-22T10:00:00.000Z');
const HOUR = 3_600_000;
const beta = {id: 'b1'.repeat(16), fingerprint: 'bb'.repeat(32)};
const gamma = {id: 'c2'.repeat(16), fingerprint: 'cc'.repeat(32)};

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (isDiskError(error)) return error.code;
    throw error;
  }

  return 'none';
}

test('a token comes back as it was, also with blanks and line ends around it', () => {
  const text = encodeToken(token);
  assert.match(text, /^[\w-]+$/u);
  assert.equal(decodeToken(text), token);
  assert.equal(decodeToken(`\n ${text} \n`), token);
});

test('each wrong, missing or swapped character is TOKEN_DAMAGED', () => {
  const text = encodeToken(token);
  for (let index = 0; index < text.length; index += 1) {
    const other = text[index] === 'A' ? 'B' : 'A';
    const wrong = text.slice(0, index) + other + text.slice(index + 1);
    assert.is(
      codeOf(() => decodeToken(wrong)),
      'TOKEN_DAMAGED',
      `character ${index} wrong`,
    );
    const short = text.slice(0, index) + text.slice(index + 1);
    assert.is(
      codeOf(() => decodeToken(short)),
      'TOKEN_DAMAGED',
      `character ${index} missing`,
    );
    assert.is(
      codeOf(() => decodeToken(text.slice(0, index))),
      'TOKEN_DAMAGED',
      `cut at ${index}`,
    );
  }
});

test('what never was a token is TOKEN_DAMAGED', () => {
  for (const text of ['', '-', 'hello', '{}', 'x'.repeat(5000), 'ssh://host', 'ä'.repeat(40)]) {
    assert.is(
      codeOf(() => decodeToken(text)),
      'TOKEN_DAMAGED',
      text,
    );
  }
});

test('a sound token with values that cannot be is TOKEN_DAMAGED', () => {
  const changes: Partial<Token>[] = [
    {cluster: 'c1'},
    {node: '../x'},
    {addresses: []},
    {fingerprint: 'F0'.repeat(32)},
    {secret: 'short'},
  ];
  for (const change of changes) {
    const text = encodeToken({...token, ...change});
    assert.is(
      codeOf(() => decodeToken(text)),
      'TOKEN_DAMAGED',
      JSON.stringify(change),
    );
  }
});

test('a token of another version says so', async () => {
  const {createHash} = await import('node:crypto');
  const body = Buffer.from('whatever later versions write');
  const head = Buffer.from([TOKEN_VERSION + 1]);
  const sum = createHash('sha256').update(head).update(body).digest().subarray(0, 4);
  const text = Buffer.concat([head, sum, body]).toString('base64url');
  assert.is(
    codeOf(() => decodeToken(text)),
    'TOKEN_VERSION',
  );
});

test('an invitation serves one node, and the same node again', () => {
  const open = addInvitation([], token.secret, NOW, HOUR);
  const used = redeem(open, token.secret, beta, NOW + 1);
  assert.is(redeem(used, token.secret, beta, NOW + 2), used);
  assert.is(
    codeOf(() => redeem(used, token.secret, gamma, NOW + 2)),
    'TOKEN_USED',
  );
  const otherKey = {...beta, fingerprint: gamma.fingerprint};
  assert.is(
    codeOf(() => redeem(used, token.secret, otherKey, NOW + 2)),
    'TOKEN_USED',
  );
  assert.is(
    codeOf(() => redeem(used, 'another', beta, NOW)),
    'TOKEN_UNKNOWN',
  );
  assert.not.match(JSON.stringify(used), token.secret);
});

test('an invitation ends, also where the clock is put back', () => {
  const open = addInvitation([], token.secret, NOW, HOUR);
  assert.is(isInviting([], NOW), false);
  assert.is(isInviting(open, NOW), true);
  assert.is(isInviting(open, NOW + HOUR - 1), true);
  for (const now of [NOW + HOUR, NOW - HOUR]) {
    assert.is(isInviting(open, now), false);
    assert.is(
      codeOf(() => redeem(open, token.secret, beta, now)),
      'TOKEN_EXPIRED',
    );
  }
});

test('old invitations are forgotten, and there are never too many', () => {
  let invitations: Invitations = addInvitation([], 'first', NOW, HOUR);
  const late = NOW + 30 * 24 * HOUR;
  invitations = addInvitation(invitations, 'second', late, HOUR);
  assert.is(invitations.length, 1);
  for (let index = 0; index < 1000; index += 1) {
    invitations = addInvitation(invitations, `secret ${index}`, late, HOUR);
  }

  assert.ok(invitations.length <= 256);
  redeem(invitations, 'secret 999', beta, late);
});

test.run();
