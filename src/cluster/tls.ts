/**
 * TLS between peers: 1.3 only, certificates on both sides, and the fingerprint is all that is
 * looked at. Chains, names and dates are not: there is no authority, and clocks may be wrong.
 */
import type {Socket, TcpNetConnectOpts} from 'node:net';
import tls from 'node:tls';
import {DiskError, errnoOf} from '../core/errors.js';
import {fingerprintOf, type Identity} from './certificates.js';
import {formatAddress} from './address.js';

/** The first probe for a connection that lies idle. */
const KEEP_ALIVE_MS = 5_000;
/** For each address of a host name: Node's own 250 ms are too short for far nodes. */
const ATTEMPT_MS = 2_500;

/** What client and server have in common. */
export function tlsOptions(
  identity: Identity,
): tls.SecureContextOptions & tls.CommonConnectionOptions {
  return {
    key: identity.keyPem,
    cert: identity.certificatePem,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: false,
    requestCert: true,
  };
}

/** Fingerprint of the other side; undefined where it showed no certificate. */
export function peerFingerprint(socket: tls.TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? undefined : fingerprintOf(certificate.raw);
}

/** Sends small answers at once, and notices a peer that is gone. */
export function tuneSocket(socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
}

/**
 * Connects to a peer whose certificate has this fingerprint.
 *
 * @throws DiskError PEER_UNREACHABLE, PEER_FINGERPRINT, TIMEOUT
 */
export function connectTls(
  host: string,
  port: number,
  identity: Identity,
  fingerprint: string,
  timeoutMs: number,
): Promise<tls.TLSSocket> {
  const address = formatAddress(host, port);
  const options: tls.ConnectionOptions & TcpNetConnectOpts = {
    ...tlsOptions(identity),
    host,
    port,
    // Names are not looked at, but an address is no name for SNI.
    servername: 'mars',
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ATTEMPT_MS,
  };
  return new Promise((resolve, reject) => {
    const socket = tls.connect(options);
    const fail = (error: DiskError): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => {
      fail(new DiskError('TIMEOUT', `${address} did not answer in time`, {address, timeoutMs}));
    }, timeoutMs);
    const onError = (error: Error): void => {
      const why = errnoOf(error) ?? error.message;
      fail(
        new DiskError(
          'PEER_UNREACHABLE',
          `no peer answers at ${address}: ${why}`,
          {address},
          {
            cause: error,
          },
        ),
      );
    };
    socket.on('error', onError);
    socket.once('secureConnect', () => {
      const found = peerFingerprint(socket);
      if (found !== fingerprint) {
        const text = `${address} has another certificate: expected ${short(fingerprint)}, found ${short(found)}`;
        fail(new DiskError('PEER_FINGERPRINT', text, {address, expected: fingerprint}));
        return;
      }

      clearTimeout(timer);
      tuneSocket(socket);
      resolve(socket);
    });
  });
}

function short(fingerprint: string | undefined): string {
  return fingerprint === undefined ? 'none' : `${fingerprint.slice(0, 16)}...`;
}
