/** A control server as the daemon's, with answers that a test gives it, on a home of its own. */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import type {VerifySummary} from '../../src/control/verify-api.js';
import type {
  FlowView,
  FollowStatus,
  LogList,
  ReplayView,
  ReplicaStatus,
  ResourceStatus,
  ResourceView,
  StatusDocument,
} from '../../src/control/api.js';
import {DiskError, isDiskError} from '../../src/core/errors.js';
import {homePaths} from '../../src/core/home.js';

export interface SeenRequest {
  /** `POST /v1/resources/web/primary` */
  readonly line: string;
  readonly body: unknown;
}

/** An answer, or a function of the request that gives it, or throws the DiskError to answer. */
export type FakeAnswer = object | ((request: SeenRequest) => unknown);

export class FakeDaemon {
  readonly home: string;
  readonly requests: SeenRequest[] = [];
  /** By request line. */
  readonly answers = new Map<string, FakeAnswer>();
  readonly #server: http.Server;

  private constructor(home: string) {
    this.home = home;
    this.#server = http.createServer((request, response) => {
      void this.#serve(request, response);
    });
  }

  static async start(home: string, answers: Record<string, FakeAnswer> = {}): Promise<FakeDaemon> {
    const daemon = new FakeDaemon(home);
    for (const [line, answer] of Object.entries(answers)) daemon.answers.set(line, answer);
    const {daemonSocket} = homePaths(home);
    fs.mkdirSync(path.dirname(daemonSocket), {recursive: true});
    fs.rmSync(daemonSocket, {force: true});
    await new Promise<void>((resolve) => daemon.#server.listen(daemonSocket, resolve));
    return daemon;
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
      this.#server.closeAllConnections();
    });
  }

  /** As a daemon that is killed. */
  cutConnections(): void {
    this.#server.closeAllConnections();
  }

  get lines(): string[] {
    return this.requests.map(({line}) => line);
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
    const line = `${request.method ?? ''} ${request.url ?? ''}`;
    const seen: SeenRequest = {line, body: text === '' ? undefined : JSON.parse(text)};
    this.requests.push(seen);
    try {
      const answer = await this.#answer(seen);
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
    } catch (error) {
      if (!isDiskError(error)) throw error;
      const {code, message, details} = error;
      response.statusCode = 409;
      response.end(JSON.stringify({error: {code, message, details}}));
    }
  }

  #answer(seen: SeenRequest): unknown {
    const answer = this.answers.get(seen.line);
    if (typeof answer === 'function') return (answer as (request: SeenRequest) => unknown)(seen);
    if (answer !== undefined) return answer;
    throw new DiskError('RESOURCE_UNKNOWN', `nothing answers ${seen.line}`);
  }
}

export function fakeView(name: string, changes: Partial<ResourceView> = {}): ResourceView {
  return {
    schema: 1,
    name,
    id: '0123456789abcdef0123456789abcdef',
    sizeBytes: 10_737_418_240,
    createdAt: '2026-11-22T10:00:00.000Z',
    imagePath: `/var/lib/mars/resources/${name}/image`,
    role: 'secondary',
    attached: true,
    image: null,
    device: null,
    settings: {driver: 'auto', durability: 'flush'},
    disk: null,
    ...changes,
  };
}

export function fakeStatus(name: string, changes: Partial<ResourceStatus> = {}): ResourceStatus {
  return {
    name,
    sizeBytes: 10_737_418_240,
    role: 'primary',
    designatedPrimary: 'alpha',
    state: 'UpToDate',
    health: 'ok',
    mode: 'async',
    image: `/run/mars/${name}/disk.img`,
    device: `/dev/mars/${name}`,
    openCount: 1,
    epoch: '9f31c0de9f31c0de9f31c0de9f31c0de',
    position: '00000001a2f3c410',
    durable: '00000001a2f3c410',
    replayed: '00000001a2f3b410',
    log: {
      ...{files: 12, bytes: 805_306_368, capBytes: null, firstPosition: '0000000100000000'},
      fileSystem: {freeBytes: 500_000, totalBytes: 1_000_000},
    },
    restorableFrom: null,
    replicas: [],
    waitingFor: null,
    messages: [],
    ...changes,
  };
}

export function fakeStatusDocument(...resources: ResourceStatus[]): StatusDocument {
  return {schema: 1, node: 'alpha', cluster: 'c0ffee', resources};
}

export function fakeReplay(name: string, changes: Partial<ReplayView> = {}): ReplayView {
  return {
    schema: 1,
    name,
    paused: false,
    state: 'running',
    position: '0000000000002000',
    replayed: '0000000000001000',
    backlogBytes: 4096,
    ...changes,
  };
}

/** A replica on another node that is well. */
/** The last comparison of a replica. */
export function fakeVerify(changes: Partial<VerifySummary> = {}): VerifySummary {
  const bytes = {doneBytes: 1024, totalBytes: 1024, differentBytes: 0};
  const times = {startedAt: '2026-11-22T09:00:00.000Z', verifiedAt: '2026-11-22T10:00:00.000Z'};
  return {
    with: 'alpha',
    state: 'equal',
    position: '0000000000001000',
    ...times,
    ...bytes,
    ...changes,
  };
}

export function fakeReplica(node: string, changes: Partial<ReplicaStatus> = {}): ReplicaStatus {
  return {
    node,
    link: 'up',
    role: 'secondary',
    state: 'UpToDate',
    replication: 'continuous',
    received: '00000001a2f3c410',
    durable: '00000001a2f3c410',
    replayed: '00000001a2f3b410',
    lagSeconds: 0.2,
    lagBytes: 4096,
    sync: null,
    since: '2026-11-22T10:00:00.000Z',
    waitingFor: null,
    ...changes,
  };
}

/** How a secondary follows that is well. */
export function fakeFollow(changes: Partial<FollowStatus> = {}): FollowStatus {
  return {
    source: 'beta',
    replication: 'continuous',
    connected: true,
    received: '00000001a2f3c410',
    lagSeconds: 0.2,
    lagBytes: 4096,
    sync: null,
    ...changes,
  };
}

export function fakeFlow(
  name: string,
  flow: FlowView['flow'],
  changes: Partial<FlowView> = {},
): FlowView {
  return {
    schema: 1,
    name,
    flow,
    paused: false,
    state: 'running',
    source: 'beta',
    received: '0000000000001000',
    originEnd: '0000000000002000',
    lagBytes: 4096,
    lagSeconds: 0.2,
    sync: null,
    waiting: null,
    ...changes,
  };
}

export function fakeLog(name: string): LogList {
  const file = {origin: 'alpha', epoch: '9f31c0de', createdAt: '2026-11-22T10:00:00.000Z'};
  return {
    schema: 1,
    name,
    files: [
      {
        ...{...file, file: 'log-000000001-alpha', number: 1, bytes: 67_108_864, sealed: true},
        ...{start: '0000000000000000', end: '0000000003fff000'},
      },
      {
        ...{...file, file: 'log-000000002-alpha', number: 2, bytes: 67_108_864, sealed: false},
        ...{start: '0000000003fff000', end: null},
      },
    ],
    spares: {files: 4, bytes: 268_435_456},
  };
}
