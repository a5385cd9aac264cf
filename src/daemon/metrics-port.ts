/**
 * The optional port for Prometheus: `GET /metrics` in plain HTTP, on an address of this machine only,
 * as nobody is asked who he is. It follows `metricsListen` of node.json, also where that is edited by
 * hand; a port that cannot be had is tried again, and told once.
 */
import http from 'node:http';
import type {AddressInfo} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import {parseListen} from '../cluster/address.js';
import type {Context} from './context.js';
import type {MetricsText} from './metrics.js';

const LOOK_MS = 2000;
const REQUEST_TIMEOUT_MS = 15_000;
const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|::1|localhost)$/u;

/** @returns undefined where the text is no address of this machine itself */
export function parseMetricsListen(
  text: string,
): {readonly host: string; readonly port: number} | undefined {
  const parsed = parseListen(text);
  if (parsed?.host === undefined || !LOOPBACK.test(parsed.host)) return undefined;
  return {host: parsed.host, port: parsed.port};
}

/** One per daemon. */
export class MetricsPort {
  readonly #context: Context;
  readonly #render: () => Promise<MetricsText>;
  readonly #abort = new AbortController();
  #wanted: string | undefined;
  #server: http.Server | undefined;
  #isTold = false;
  #loop: Promise<void> | undefined;

  constructor(context: Context, render: () => Promise<MetricsText>) {
    this.#context = context;
    this.#render = render;
  }

  /** Where it listens now; undefined: nowhere. */
  get address(): AddressInfo | undefined {
    const address = this.#server?.address();
    return typeof address === 'object' && address !== null ? address : undefined;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
    await this.#stop();
  }

  /** Brings the port in line with the wish; what cannot be had is tried again at the next look. */
  async look(): Promise<void> {
    const {metricsListen} = this.#context.node;
    if (metricsListen !== this.#wanted) {
      this.#wanted = metricsListen;
      this.#isTold = false;
      await this.#stop();
    }

    if (metricsListen === undefined || this.#server !== undefined) return;
    try {
      this.#server = await this.#listen(metricsListen);
    } catch (error) {
      if (this.#isTold) return;
      this.#isTold = true;
      const fault = error instanceof Error ? error.message : String(error);
      const text = `metrics are not served on ${metricsListen}: ${fault}`;
      this.#context.tell('SETTING_REFUSED', 'warning', null, text);
    }
  }

  async #run(): Promise<void> {
    const {signal} = this.#abort;
    while (!signal.aborted) {
      await this.look();
      await sleep(LOOK_MS, undefined, {signal}).catch(() => undefined);
    }
  }

  async #listen(text: string): Promise<http.Server> {
    const place = parseMetricsListen(text);
    if (place === undefined) throw new Error('it is no address of this machine itself');
    const server = http.createServer((request, response) => {
      void this.#answer(request, response);
    });
    server.requestTimeout = REQUEST_TIMEOUT_MS;
    server.on('clientError', (_, socket) => {
      socket.destroy();
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(place.port, place.host, resolve);
    });
    server.on('error', (error) => {
      this.#context.log.warn({err: error}, 'the port for metrics');
    });
    return server;
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    const {pathname} = new URL(request.url ?? '/', 'http://mars');
    if (request.method !== 'GET' || pathname !== '/metrics') {
      response.writeHead(404, {'content-type': 'text/plain', connection: 'close'});
      response.end('only GET /metrics is answered here\n');
      return;
    }

    try {
      const {contentType, text} = await this.#render();
      response.writeHead(200, {'content-type': contentType, connection: 'close'});
      response.end(text);
    } catch (error) {
      this.#context.log.error({err: error}, 'metrics failed');
      response.writeHead(500, {connection: 'close'}).end();
    }
  }

  async #stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => {
        resolve();
      });
      server.closeAllConnections();
    });
  }
}
