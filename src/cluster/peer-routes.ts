/** What the peer server hands to the daemon: requests below `/peer/v1/resources/`, and streams. */
import type {Duplex} from 'node:stream';
import type {Member} from './members.js';

/** Protocols of upgraded connections. */
export type StreamProtocol = 'mars-log/1' | 'mars-sync/1';

/** Takes over a stream. It owns the socket from now on, its 'error' event included. */
export type StreamHandler = (socket: Duplex) => void;

export interface PeerRoutes {
  /**
   * Answers `METHOD /peer/v1/resources/WORDS...`; the words come without `resources`, decoded. The
   * body is the parsed JSON, undefined where there was none: it comes from another machine, and is
   * to be checked.
   *
   * @param signal aborted when the caller has gone away
   * @returns what is sent as JSON
   * @throws DiskError, which is sent to the caller with its code; anything else is a BUG
   */
  call(
    caller: Member,
    method: string,
    words: readonly string[],
    body: unknown,
    signal: AbortSignal,
  ): Promise<unknown>;

  /**
   * Decides on a stream `/peer/v1/resources/WORDS...`. What it returns is called with the raw
   * stream right after the upgrade was answered.
   *
   * @throws DiskError, which is sent instead of the upgrade
   */
  open(caller: Member, protocol: StreamProtocol, words: readonly string[]): Promise<StreamHandler>;

  /** Something of the members has changed, such as their limits. */
  changed?(): void;
}
