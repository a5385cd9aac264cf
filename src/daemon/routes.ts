/** The routes of the control API (control/api.ts) and what each of them does. */
import type {
  DaemonStatus,
  FlowView,
  ForkResult,
  ForkView,
  LogList,
  ResourceList,
  EventsPage,
  SyncLimitView,
} from '../control/api.js';
import {memberByName} from '../cluster/members.js';
import type {MetricsListenView, RestartRequest} from '../control/daemon-api.js';
import {describeDisks, listDisks} from '../control/disk-client.js';
import {DiskError} from '../core/errors.js';
import type {Housekeeping} from './care.js';
import {parseMetricsListen, type MetricsPort} from './metrics-port.js';
import {SYNC_LIMIT_DEFAULT} from '../core/limits.js';
import {answerHistory} from './history/routes.js';
import {listLog} from './log-list.js';
import type {MarsNode} from './node.js';
import {
  becomePrimary,
  becomeSecondary,
  changeSettings,
  resize,
  rotateLog,
  setAttached,
  setReplayPaused,
} from './operations.js';
import {readEventsPage} from './event-log.js';
import {answerPeers} from './peer-control.js';
import type {Peers} from './peers.js';
import {toRemote} from './remote.js';
import {renewDisk} from './renew.js';
import type {Resource} from './resource.js';
import {cutLog} from './replication/cut-log.js';
import {undoCut} from './replication/cut-undo.js';
import {forkDiff} from './replication/fork-diff.js';
import {fakeSync} from './replication/fake-sync.js';
import {extractFork, forgetFork, undoFork} from './replication/fork-undo.js';
import {exportFolder} from './replication/export.js';
import {forkView, invalidate, resolveFork} from './replication/fork.js';
import {askToBecomePrimary, askToJoin} from './replication/move.js';
import type {Replica} from './replication/replica.js';
import {setWish, flowView} from './replication/switches.js';
import {startVerify, stopVerify, verifyView} from './replication/verify.js';
import {followFolder, importFiles} from './replication/take-files.js';
import {
  CARE,
  CREATE,
  CUT,
  DELETE,
  EXPORT,
  FOLLOW_FOLDER,
  FORK,
  FORK_BRANCH,
  FORK_EXTRACT,
  IMPORT,
  JOIN,
  LEAVE,
  METRICS_LISTEN,
  MOVE_JOIN,
  MOVE_PRIMARY,
  NOTHING,
  PRIMARY,
  PRUNE,
  RESIZE,
  RESTART,
  ROLE,
  SET,
  STOP,
  SYNC_LIMIT,
  VERIFY,
  parseBody,
} from './requests.js';
import {ownUnit} from './service-unit.js';
import {changeNode} from './state.js';
import {replayView, resourceView} from './views.js';

/** Less than a command waits for an answer. */
const HOST_TIMEOUT_MS = 12_000;

/** What a daemon tells of itself, and how it is ended. */
export interface DaemonFacts {
  readonly version: string;
  readonly startedAt: string;
  /** Ends the daemon after the answer has gone out. */
  readonly stop: () => void;
  /** The same; another process then takes its place. */
  readonly restart: (successor: RestartRequest) => void;
  readonly peers: Peers;
  readonly care: Housekeeping;
  readonly metricsPort: MetricsPort;
}

export interface Request {
  readonly method: string;
  /** `/v1/resources/web01/log` as words: `resources`, `web01`, `log`. */
  readonly words: readonly string[];
  readonly query: URLSearchParams;
  readonly body: string;
}

/**
 * Answers one request.
 *
 * @throws DiskError USAGE for an unknown route or body, or what the operation throws
 */
export async function answer(
  node: MarsNode,
  facts: DaemonFacts,
  request: Request,
): Promise<unknown> {
  const {method, words} = request;
  const [noun, name, ...verb] = words;
  const key = `${method} ${noun ?? ''}`;
  if (noun === 'resources' && name !== undefined) {
    if (method === 'POST' && verb.join('/') === 'join') {
      const {replace = false, ...wish} = parseBody(JOIN, request.body);
      return replace ? node.replace(name, wish) : node.join(name, wish);
    }

    const route = `${method} ${verb.join('/')}`.trim();
    const resource = node.resource(name);
    if (route !== 'POST log/prune') return answerResource(node, resource, request, route);
    return facts.care.prune(resource, parseBody(PRUNE, request.body));
  }

  if (noun === 'sync-limit' && name === undefined) return answerSyncLimit(node, request);
  if (noun === 'metrics-listen' && name === undefined) {
    return answerMetricsListen(node, facts.metricsPort, request);
  }

  if (noun === 'hosts' && name !== undefined) {
    return answerHost(node, facts, name, {...request, words: verb});
  }

  if (noun === 'peers') return answerPeers(facts.peers, request);
  if (key === 'GET daemon' && name === undefined) return daemonStatus(node, facts);
  if (key === 'POST daemon' && name === 'stop') return stopDaemon(node, facts, request);
  if (key === 'POST daemon' && name === 'restart') {
    facts.restart(parseBody(RESTART, request.body));
    return {};
  }

  if (key === 'POST care') return facts.care.care(parseBody(CARE, request.body));
  if (key === 'GET status') return node.status(request.query.get('resource') ?? undefined);
  if (key === 'GET events' && name === 'page') return answerEventsPage(node, request);
  if (key === 'GET resources') return listResources(node);
  if (key === 'POST resources') return node.create(parseBody(CREATE, request.body));
  throw noRoute(request);
}

/** What `--host` asks: of this node itself, or passed on to the member. */
function answerHost(
  node: MarsNode,
  facts: DaemonFacts,
  host: string,
  request: Request,
): Promise<unknown> {
  const {peers} = facts;
  if (host === node.context.node.name) return answer(node, facts, request);
  const {cluster} = peers;
  if (cluster === undefined) throw peers.fault ?? new DiskError('BUG', 'no cluster, no reason');
  const member = memberByName(cluster, host);
  const {caller} = peers;
  return caller.call(member, 'POST', 'control', toRemote(request), HOST_TIMEOUT_MS);
}

function answerEventsPage({context}: MarsNode, {query}: Request): EventsPage {
  const [resource, after] = [query.get('resource') ?? undefined, query.get('after') ?? undefined];
  return readEventsPage(context.paths.eventsFile, {resource, after});
}

function answerSyncLimit({context, replication}: MarsNode, request: Request): SyncLimitView {
  if (request.method === 'POST') {
    const {limit} = parseBody(SYNC_LIMIT, request.body);
    changeNode(context.paths.home, {syncLimit: limit});
    context.node = {...context.node, syncLimit: limit};
    const text = `images are copied from other nodes ${limit === 0 ? 'without a limit' : `${limit} at once`}`;
    context.tell('RESOURCE_CHANGED', 'info', null, text, {limit});
    replication?.factsChanged();
  } else if (request.method !== 'GET') throw noRoute(request);
  const {running = [], waiting = []} = replication?.turns ?? {};
  return {schema: 1, limit: context.node.syncLimit ?? SYNC_LIMIT_DEFAULT, running, waiting};
}

async function answerMetricsListen(
  {context}: MarsNode,
  port: MetricsPort,
  request: Request,
): Promise<MetricsListenView> {
  if (request.method === 'POST') {
    const {listen} = parseBody(METRICS_LISTEN, request.body);
    if (listen !== null && parseMetricsListen(listen) === undefined) {
      const text = `expected 127.0.0.1:PORT, [::1]:PORT or off, got '${listen}'`;
      throw new DiskError('KEY_UNKNOWN', text, {value: listen});
    }

    const {metricsListen, ...rest} = changeNode(context.paths.home, {metricsListen: listen});
    const {mounts} = context.node;
    context.node = {...rest, mounts, ...(metricsListen === undefined ? {} : {metricsListen})};
    context.tell('RESOURCE_CHANGED', 'info', null, `metrics are served on ${listen ?? 'no port'}`);
    await port.look();
  } else if (request.method !== 'GET') throw noRoute(request);
  const listen = context.node.metricsListen ?? null;
  return {schema: 1, listen, served: port.address !== undefined};
}

function noRoute({method, words}: Request): DiskError {
  return new DiskError('USAGE', `there is no ${method} /v1/${words.join('/')}`);
}

async function answerResource(
  node: MarsNode,
  resource: Resource,
  request: Request,
  route: string,
): Promise<unknown> {
  const {context} = node;
  const {body} = request;
  switch (route) {
    case 'GET': {
      await resource.poll();
      return resourceView(resource);
    }

    case 'DELETE':
      return node.delete(resource.name, parseBody(DELETE, body));
    case 'POST leave':
      return node.leave(resource.name, parseBody(LEAVE, body));
    case 'POST connect':
    case 'POST disconnect': {
      parseBody(NOTHING, body);
      const connected = route === 'POST connect';
      const words = connected ? 'connected to other nodes' : 'disconnected from other nodes';
      await resource.run(route, async () => {
        setWish(context, resource, {connected}, words);
        await resource.poll();
      });
      return resourceView(resource);
    }

    case 'POST set': {
      const wish = parseBody(SET, body);
      return resource.run('set', () => changeSettings(context, resource, wish));
    }

    case 'POST resize': {
      const wish = parseBody(RESIZE, body);
      return resource.run('resize', () => resize(context, resource, wish));
    }

    case 'POST primary': {
      const wish = parseBody(PRIMARY, body);
      return resource.run('primary', () => becomePrimary(context, resource, wish));
    }

    case 'POST renew': {
      const wish = parseBody(ROLE, body);
      return resource.run('renew', () => renewDisk(context, resource, wish));
    }

    case 'POST secondary': {
      const wish = parseBody(ROLE, body);
      return resource.run('secondary', () => becomeSecondary(context, resource, wish));
    }

    case 'POST attach':
    case 'POST detach': {
      const wish = parseBody(ROLE, body);
      const attached = route === 'POST attach';
      return resource.run(route, () => setAttached(context, resource, attached, wish));
    }

    default:
      return answerFlows(node, resource, request, route);
  }
}

/** Log and replay of one resource. */
async function answerFlows(
  node: MarsNode,
  resource: Resource,
  request: Request,
  route: string,
): Promise<unknown> {
  switch (route) {
    case 'GET log':
      await resource.poll();
      return listLog(resource) satisfies LogList;
    case 'POST log/rotate':
      parseBody(NOTHING, request.body);
      return resource.run('rotate', () => rotateLog(resource));
    case 'GET replay':
      await resource.poll();
      return replayView(resource);
    case 'POST replay/pause':
    case 'POST replay/resume': {
      parseBody(NOTHING, request.body);
      const paused = route === 'POST replay/pause';
      await resource.run(route, () => setReplayPaused(node.context, resource, paused));
      return replayView(resource);
    }

    case 'GET fork':
      return forkView(node.context, replicaOf(node, resource)) satisfies Promise<ForkView>;
    case 'POST fork/resolve': {
      const wish = parseBody(FORK, request.body);
      const replica = replicaOf(node, resource);
      return resolveFork(node.context, replica, wish) satisfies Promise<ForkResult>;
    }

    case 'GET fork/diff':
      return forkDiff(node.context, replicaOf(node, resource).resource);
    case 'POST fork/undo': {
      const wish = parseBody(FORK_BRANCH, request.body);
      return undoFork(node.context, replicaOf(node, resource).resource, wish);
    }

    case 'POST fork/forget':
      return forgetFork(node.context, resource, parseBody(FORK_BRANCH, request.body));
    case 'POST fork/extract':
      return extractFork(node.context, resource, parseBody(FORK_EXTRACT, request.body));
    case 'POST invalidate': {
      const wish = parseBody(DELETE, request.body);
      return invalidate(node.context, replicaOf(node, resource), wish);
    }

    case 'POST log/cut':
      return cutLog(node.context, resource, parseBody(CUT, request.body));
    case 'POST log/cut/undo':
      return undoCut(node.context, resource, parseBody(DELETE, request.body));
    case 'POST sync/fake': {
      const wish = parseBody(DELETE, request.body);
      return fakeSync(node.context, replicaOf(node, resource), wish);
    }

    case 'POST log/export': {
      const wish = parseBody(EXPORT, request.body);
      return exportFolder(node.context, replicaOf(node, resource), wish);
    }

    case 'POST log/import': {
      const wish = parseBody(IMPORT, request.body);
      return importFiles(node.context, replicaOf(node, resource), wish);
    }

    case 'POST replay/follow': {
      const {folder} = parseBody(FOLLOW_FOLDER, request.body);
      const replica = replicaOf(node, resource);
      return resource.run(route, () => followFolder(node.context, replica, folder));
    }

    // Not in the queue of the resource: it goes on beside all else, and only reads.
    case 'POST verify': {
      const wish = parseBody(VERIFY, request.body);
      return startVerify(node.context, replicaOf(node, resource), wish);
    }

    case 'GET verify':
      return verifyView(node.context, replicaOf(node, resource));
    case 'POST verify/stop':
      parseBody(NOTHING, request.body);
      return stopVerify(node.context, replicaOf(node, resource));
    // Not in the queue of the resource: the other node asks this one for the role meanwhile.
    case 'POST move/join':
      return askToJoin(node.context, resource, parseBody(MOVE_JOIN, request.body));
    case 'POST move/primary':
      return askToBecomePrimary(node.context, resource, parseBody(MOVE_PRIMARY, request.body));
    case 'GET history':
    case 'POST history/mark':
    case 'POST history/mount':
    case 'POST history/unmount':
    case 'POST history/rollback':
    case 'POST history/rollback/abort':
    case 'POST history/rollback/wait':
      return answerHistory(node.context, resource, route, request.body);
    default:
      return answerReplication(node, resource, request, route);
  }
}

/** @throws DiskError NO_SOURCE where the node has no cluster */
function replicaOf(node: MarsNode, resource: Resource): Replica {
  const replica = node.replication?.replica(resource.name);
  if (replica !== undefined) return replica;
  throw new DiskError('NO_SOURCE', `no other node is known to have ${resource.name}`, {
    resource: resource.name,
  });
}

/** What comes from other nodes. */
async function answerReplication(
  node: MarsNode,
  resource: Resource,
  request: Request,
  route: string,
): Promise<FlowView> {
  const replica = node.replication?.replica(resource.name);
  const words = /^(GET|POST) (fetch|sync)(?:\/(pause|resume))?$/u.exec(route);
  const [, method, flow, verb] = words ?? [];
  if (words === null || (method === 'POST') !== (verb !== undefined)) throw noRoute(request);
  if (verb !== undefined) {
    parseBody(NOTHING, request.body);
    const paused = verb === 'pause';
    const wish = flow === 'fetch' ? {fetchPaused: paused} : {syncPaused: paused};
    const text = `${flow ?? ''} was ${paused ? 'paused' : 'resumed'}`;
    await resource.run(route, async () => {
      setWish(node.context, resource, wish, text);
      await resource.poll();
    });
  }

  await resource.poll();
  return flowView(resource, replica, flow === 'fetch' ? 'fetch' : 'sync');
}

async function daemonStatus(node: MarsNode, facts: DaemonFacts): Promise<DaemonStatus> {
  const disks = describeDisks(await listDisks(node.context.paths.home));
  const {version, startedAt} = facts;
  const unit = ownUnit() ?? null;
  return {schema: 1, pid: process.pid, version, startedAt, unit, disks};
}

async function stopDaemon(node: MarsNode, facts: DaemonFacts, request: Request): Promise<object> {
  const wish = parseBody(STOP, request.body);
  if (wish.disks) await node.stopDisks(wish);
  facts.stop();
  return {};
}

async function listResources(node: MarsNode): Promise<ResourceList> {
  const resources = node.resources().filter((resource) => resource.fault === undefined);
  await Promise.all(resources.map((resource) => resource.poll()));
  return {schema: 1, resources: resources.map((resource) => resourceView(resource))};
}
