/** How the daemon calls other members: what is asked, not how it gets there. */
import type {Duplex} from 'node:stream';
import type {Member} from './members.js';
import type {StreamProtocol} from './peer-routes.js';

/** A peer that says nothing for so long counts as dead. */
export const PEER_TIMEOUT_MS = 10_000;

export interface PeerCaller {
  /**
   * One request `METHOD /peer/v1/PATH` with JSON, over a connection that is kept.
   *
   * @param path without a leading slash: `resources/ID/handover`
   * @param timeoutMs for connection and answer together; default PEER_TIMEOUT_MS
   * @throws DiskError PEER_UNREACHABLE, PEER_FINGERPRINT, PEER_SSH_FAILED, TIMEOUT; or the code that
   *   the peer answered, PEER_REFUSED where this version does not know it
   */
  call<T>(
    member: Member,
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
    timeoutMs?: number,
  ): Promise<T>;

  /**
   * Opens a stream on a connection of its own. The caller owns it: it listens to 'error', and
   * destroys it at the end. No idle time ends it: that is the protocol's affair.
   *
   * @throws DiskError as `call`
   */
  open(member: Member, path: string, protocol: StreamProtocol, timeoutMs?: number): Promise<Duplex>;

  /** Ends the kept connections. Streams go on. */
  close(): void;
}
