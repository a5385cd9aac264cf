import {X509Certificate} from 'node:crypto';
import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {ensureIdentity, fingerprintOf} from '../../src/cluster/certificates.js';
import {isDiskError} from '../../src/core/errors.js';

const test = suite<{home: string}>('certificates');

test.before.each((context) => {
  context.home = fs.mkdtempSync('/var/tmp/mars-certificates-');
});
test.after.each(({home}) => {
  fs.rmSync(home, {recursive: true, force: true});
});

function codeOf(home: string): string {
  try {
    ensureIdentity(home);
  } catch (error) {
    if (isDiskError(error)) return error.code;
    throw error;
  }

  return 'none';
}

test('keys are made once, for root only, and for a hundred years', ({home}) => {
  const identity = ensureIdentity(home);
  assert.equal(ensureIdentity(home), identity);
  assert.equal(fs.readdirSync(join(home, 'tls')).sort(), ['cert.pem', 'key.pem']);
  assert.is(fs.statSync(join(home, 'tls')).mode & 0o777, 0o700);
  assert.is(fs.statSync(join(home, 'tls/key.pem')).mode & 0o777, 0o600);
  const certificate = new X509Certificate(identity.certificatePem);
  assert.is(identity.fingerprint, fingerprintOf(certificate.raw));
  assert.is(identity.fingerprint, certificate.fingerprint256.replaceAll(':', '').toLowerCase());
  assert.is(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  assert.ok(Date.parse(certificate.validTo) > Date.now() + 99 * 365 * 86_400_000);
});

test('a key without its certificate is what a crash left: both are made anew', ({home}) => {
  const {fingerprint} = ensureIdentity(home);
  fs.rmSync(join(home, 'tls/cert.pem'));
  assert.is.not(ensureIdentity(home).fingerprint, fingerprint);
});

test('a certificate that others may know is never replaced', ({home}) => {
  ensureIdentity(home);
  const key = join(home, 'tls/key.pem');
  const certificate = join(home, 'tls/cert.pem');
  const [keyText, text] = [fs.readFileSync(key, 'utf8'), fs.readFileSync(certificate, 'utf8')];
  fs.rmSync(key);
  assert.is(codeOf(home), 'STATE_UNREADABLE');
  const other = `${home}/other`;
  fs.mkdirSync(other);
  fs.writeFileSync(key, ensureIdentity(other).keyPem);
  assert.is(codeOf(home), 'STATE_UNREADABLE');
  fs.writeFileSync(key, keyText);
  fs.writeFileSync(certificate, text.slice(0, 100));
  assert.is(codeOf(home), 'STATE_UNREADABLE');
  fs.writeFileSync(certificate, text);
  assert.is(codeOf(home), 'none');
});

test('without openssl it says what to install', ({home}) => {
  const path = process.env['PATH'];
  process.env['PATH'] = home;
  try {
    assert.is(codeOf(home), 'TOOL_MISSING');
  } finally {
    process.env['PATH'] = path;
  }
});

test.run();
