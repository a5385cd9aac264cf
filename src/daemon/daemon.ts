/**
 * The life of a daemon: lock, state, socket, supervision; and the orderly way back. Disks are no
 * part of it: they run before, during and after.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import type {Logger} from 'pino';
import type {Clock} from '../core/clock.js';
import type {RestartRequest} from '../control/daemon-api.js';
import {storeError} from '../core/errors.js';
import {homePaths} from '../core/home.js';
import type {Context, DiskPrograms, Tell} from './context.js';
import {Housekeeping} from './care.js';
import {takeDaemonLock, waitForCare} from './daemon-lock.js';
import {tellEvent} from './event-log.js';
import {MarsNode} from './node.js';
import {Peers} from './peers.js';
import {SpaceWatch} from './space/space-watch.js';
import {MetricsPort} from './metrics-port.js';
import {metricsOf, serveControl} from './server.js';
import {Replication} from './replication/replication.js';
import {PeerService} from './replication/serve.js';
import {readNode} from './state.js';
import {canonicalNode} from './places.js';
import {watchFiles} from './watch-files.js';
import {answer, type DaemonFacts} from './routes.js';

export interface DaemonOptions {
  /** Absolute. */
  readonly home: string;
  readonly version: string;
  readonly programs: DiskPrograms;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Daemon {
  /** Resolves when the daemon has ended in order. */
  readonly ended: Promise<void>;
  /** What is to take its place, once it has ended; undefined: nothing. */
  readonly successor: () => RestartRequest | undefined;
  /** Begins the end; disks go on. */
  stop(): void;
}

/**
 * Starts the daemon of a home; when it returns the control socket answers.
 *
 * @throws DiskError NOT_INITIALISED, HOME_NEWER, STATE_UNREADABLE, DAEMON_RUNNING, STORE_*
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const {home, clock, log, programs} = options;
  const paths = homePaths(home);
  const node = canonicalNode(readNode(home));
  const lockFd = takeDaemonLock(paths.daemonLock);
  const tell: Tell = (code, severity, resource, text, details) => {
    log.info({event: code, resource, ...details}, text);
    const input = {node: node.name, resource, code, severity, text};
    tellEvent(
      paths.eventsFile,
      clock.wallMs(),
      details === undefined ? input : {...input, details},
    );
  };
  try {
    await waitForCare(paths.careLock);
    fs.mkdirSync(join(home, 'run'), {recursive: true, mode: 0o700});
    const context: Context = {paths, node, programs, clock, log, tell};
    return await openDaemon(options, context, lockFd);
  } catch (error) {
    fs.closeSync(lockFd);
    throw storeError(error, `use the home ${home}`);
  }
}

async function openDaemon(
  options: DaemonOptions,
  context: Context,
  lockFd: number,
): Promise<Daemon> {
  const {log, version, clock} = options;
  const node = new MarsNode(context);
  node.load();
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => {
    stop = resolve;
  });
  const startedAt = new Date(clock.wallMs()).toISOString();
  const resources = () => node.resources().map(({name}) => name);
  const peers = new Peers({context, version, resources});
  joinReplication(context, node, peers);
  const care = new Housekeeping(node);
  const space = new SpaceWatch(node);
  const metricsPort = new MetricsPort(context, () => metricsOf(node, {version, startedAt}));
  const more = {peers, care, metricsPort};
  let successor: RestartRequest | undefined;
  const facts: DaemonFacts = {
    ...{version, startedAt, stop: () => setImmediate(stop), ...more},
    restart: (next) => {
      successor = next;
      setImmediate(stop);
    },
  };
  peers.serveControl((request) => answer(node, facts, request));
  const server = await serveControl(node, facts, log);
  context.tell('DAEMON_STARTED', 'info', null, `the daemon ${version} started`, {pid: process.pid});
  const watch = watchFiles(node);
  await peers.start();
  node.supervise();
  care.start();
  space.start();
  metricsPort.start();
  const ended = stopped.then(async () => {
    watch.close();
    // First: what ssh brought hangs on the control socket, which waits for its connections.
    await peers.close();
    await server.close();
    await metricsPort.close();
    await care.close();
    await space.close();
    await node.close();
    context.tell('DAEMON_STOPPED', 'info', null, 'the daemon stopped', {pid: process.pid});
    fs.rmSync(context.paths.daemonSocket, {force: true});
    fs.closeSync(lockFd);
  });
  return {ended, stop, successor: () => successor};
}

/** Resources of a node that can have peers take part in replication. */
function joinReplication(context: Context, node: MarsNode, peers: Peers): void {
  if (peers.fault !== undefined) return;
  const replication = new Replication(context, peers);
  node.replicate(replication);
  peers.serve(new PeerService(node, replication));
  peers.setOwnFacts(
    () => Promise.resolve(replication.facts()),
    () => replication.unreadable(),
    () => replication.deleted(),
  );
}
