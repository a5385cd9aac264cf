/**
 * The keys of a node: `tls/key.pem` and `tls/cert.pem`, EC P-256, self-signed. Peers know each other
 * by the fingerprint of the certificate and by nothing else in it: no name, and no date, as clocks
 * may be years off.
 *
 * Order: the key is durable before the certificate gets its name. A certificate without its key is
 * never made anew: other nodes may know it.
 */
import {spawnSync} from 'node:child_process';
import {createHash, createPrivateKey, X509Certificate} from 'node:crypto';
import fs from 'node:fs';
import {join} from 'node:path';
import {DiskError, errnoOf, storeError} from '../core/errors.js';

const OPENSSL_TIMEOUT_MS = 30_000;
const CONFIG = `[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = mars
[extensions]
basicConstraints = critical, CA:FALSE
`;

export interface Identity {
  readonly keyPem: string;
  readonly certificatePem: string;
  /** SHA-256 of the certificate (DER), 64 hex digits. */
  readonly fingerprint: string;
}

/** The fingerprint of a certificate in DER. */
export function fingerprintOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex');
}

/**
 * Reads the keys of a home, and makes them where there are none.
 *
 * @throws DiskError TOOL_MISSING without the openssl program, STATE_UNREADABLE, STORE_*
 */
export function ensureIdentity(home: string): Identity {
  const directory = join(home, 'tls');
  const keyFile = join(directory, 'key.pem');
  const certificateFile = join(directory, 'cert.pem');
  try {
    // A key alone is what a crash left: nobody knows it.
    if (!fs.existsSync(certificateFile)) makeKeys(directory, keyFile, certificateFile);
    return readIdentity(keyFile, certificateFile);
  } catch (error) {
    throw storeError(error, `use the keys in ${directory}`);
  }
}

function readIdentity(keyFile: string, certificateFile: string): Identity {
  const certificatePem = fs.readFileSync(certificateFile, 'utf8');
  if (!fs.existsSync(keyFile)) throw unreadable(keyFile, 'it is missing');
  const keyPem = fs.readFileSync(keyFile, 'utf8');
  let certificate: X509Certificate;
  let matches: boolean;
  try {
    certificate = new X509Certificate(certificatePem);
    matches = certificate.checkPrivateKey(createPrivateKey(keyPem));
  } catch (error) {
    throw unreadable(certificateFile, error instanceof Error ? error.message : String(error));
  }

  if (!matches) throw unreadable(keyFile, 'it is not the key of cert.pem');
  return {keyPem, certificatePem, fingerprint: fingerprintOf(certificate.raw)};
}

function unreadable(file: string, fault: string): DiskError {
  return new DiskError(
    'STATE_UNREADABLE',
    `${file} is not valid: ${fault}. Restore it; without it, remove the directory tls, start the ` +
      'daemon and let this node join again',
    {file, fault},
  );
}

function makeKeys(directory: string, keyFile: string, certificateFile: string): void {
  fs.mkdirSync(directory, {recursive: true, mode: 0o700});
  // A file: the stdin of a child of Node is a socket, which cannot be opened as /dev/stdin.
  const config = join(directory, 'openssl.cnf');
  fs.writeFileSync(config, CONFIG);
  const result = spawnSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-sha256', '-days', '36500', '-config', config, '-keyout', '-', '-out', '-'],
    ],
    {encoding: 'utf8', timeout: OPENSSL_TIMEOUT_MS, cwd: '/'},
  );
  fs.rmSync(config);
  if (errnoOf(result.error) === 'ENOENT') {
    const text = 'the program openssl is not installed: apt-get install openssl';
    throw new DiskError('TOOL_MISSING', text, {program: 'openssl', package: 'openssl'});
  }

  const key = partOf(result.stdout, 'PRIVATE KEY');
  const certificate = partOf(result.stdout, 'CERTIFICATE');
  if (result.status !== 0 || key === undefined || certificate === undefined) {
    const words = (result.stderr || (result.error?.message ?? '')).trim().split('\n').at(-1) ?? '';
    throw new DiskError('TOOL_MISSING', `openssl made no keys: ${words}`, {program: 'openssl'});
  }

  writeDurably(directory, keyFile, key);
  writeDurably(directory, certificateFile, certificate);
}

function partOf(text: string, kind: string): string | undefined {
  const pattern = new RegExp(`-----BEGIN ${kind}-----[^-]*-----END ${kind}-----`, 'u');
  const found = pattern.exec(text)?.[0];
  return found === undefined ? undefined : `${found}\n`;
}

function writeDurably(directory: string, file: string, text: string): void {
  const temporary = `${file}.tmp`;
  fs.rmSync(temporary, {force: true});
  const fd = fs.openSync(temporary, 'wx', 0o600);
  try {
    fs.writeFileSync(fd, text);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }

  fs.renameSync(temporary, file);
  const directoryFd = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(directoryFd);
  } finally {
    fs.closeSync(directoryFd);
  }
}
