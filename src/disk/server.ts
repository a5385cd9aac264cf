/** The socket of the disk process: HTTP and JSON, see core/disk-status. */
import fs from 'node:fs';
import http from 'node:http';
import {basename, dirname} from 'node:path';
import type {Duplex} from 'node:stream';
import {CONFIRM_PROTOCOL} from '../core/confirm-lines.js';
import {DiskError, storeError} from '../core/errors.js';
import {resourcePaths} from '../core/home.js';
import {isObject} from '../core/json-file.js';
import {REPLICATION_MODES, type ModeSettings} from '../core/mode.js';
import {formatPosition, parsePosition} from '../core/position.js';
import {WHEN_FULL} from '../core/space.js';
import {WATCH_PROTOCOL} from '../core/watch-lines.js';
import {isLabel, LABEL_RULE} from '../log/mark-label.js';
import {segmentName} from '../log/segment.js';
import type {DiskProcess} from './process.js';
import {COMMAND, WORD} from './shared.js';
import {requireLog} from './space-run.js';
import {serveStreams, type StreamRoute} from './upgrade.js';

const BODY_BYTES_MAX = 64 * 1024;
const RENEW_MS_MAX = 60_000;

/** Listens with mode 0600; a socket file of a dead process is replaced: we hold its lock. */
export async function serveSocket(disk: DiskProcess): Promise<void> {
  const {socket} = resourcePaths(disk.options.home, disk.options.name);
  const server = http.createServer((request, response) => {
    answer(disk, request).then(
      (body) => {
        response.writeHead(200, {'content-type': 'application/json'}).end(JSON.stringify(body));
        // Whoever waits in the kernel waits for this: the answer goes out with what is there.
        if (disk.renewal.isPrepared) setImmediate(() => disk.renewal.end());
      },
      (error: unknown) => {
        refuse(response, error);
      },
    );
  });
  serveStreams(server, streamsOf(disk));

  // A socket's path has 107 bytes at most, a home may be deeper: bind to the name alone.
  process.chdir(dirname(socket));
  fs.rmSync(basename(socket), {force: true});
  const before = process.umask(0o177);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(basename(socket), resolve);
  });
  process.umask(before);
}

function streamsOf(disk: DiskProcess): Readonly<Record<string, StreamRoute>> {
  const {follower, synchronous} = disk;
  if (follower !== undefined) {
    return {
      'POST /follow': {protocol: 'mars-log/1', open: () => follower.openLog()},
      'POST /sync': {protocol: 'mars-sync/1', open: () => follower.openSync()},
    };
  }

  if (synchronous === undefined) return {};
  const open = (socket: Duplex): void => {
    synchronous.port.open(socket);
  };
  const watch = (socket: Duplex): void => {
    disk.watch.open(socket);
  };
  return {
    'POST /confirm': {protocol: CONFIRM_PROTOCOL, open: () => open},
    'POST /watch': {protocol: WATCH_PROTOCOL, open: () => watch},
  };
}

function refuse(response: http.ServerResponse, error: unknown): void {
  const known = storeError(error, 'serve the request');
  const {code, message, details} =
    known instanceof DiskError ? known : new DiskError('BUG', String(error));
  response
    .writeHead(code === 'BUG' ? 500 : 409, {'content-type': 'application/json'})
    .end(JSON.stringify({error: {code, message, details}}));
}

async function answer(disk: DiskProcess, request: http.IncomingMessage): Promise<unknown> {
  const route = `${request.method ?? ''} ${request.url ?? ''}`;
  const body = await readBody(request);
  if (request.method === 'POST') disk.watch.note();
  switch (route) {
    case 'GET /status': {
      disk.space?.noteHeard();
      return disk.status();
    }

    case 'POST /log/rotate': {
      return rotate(disk);
    }

    case 'POST /replay/pause':
    case 'POST /replay/resume': {
      disk.setPaused(route.endsWith('pause'));
      return {};
    }

    case 'POST /resize': {
      requireServing(disk, 'is resized: the others follow');
      const sizeBytes = isObject(body) ? body['sizeBytes'] : undefined;
      if (!Number.isSafeInteger(sizeBytes) || Number(sizeBytes) < disk.shared.diskSize.get()) {
        throw new DiskError('SIZE_INVALID', 'expected "sizeBytes", not smaller than the disk');
      }

      await disk.resize(Number(sizeBytes));
      return {sizeBytes: disk.shared.diskSize.get()};
    }

    case 'POST /retain': {
      disk.retain(positionOf(body));
      return {};
    }

    case 'POST /mode': {
      requireServing(disk, 'waits for replicas');
      disk.synchronous?.configure(modeSettingsOf(body));
      return {};
    }

    case 'POST /space': {
      requireServing(disk, 'slows its writes');
      takeSpaceWish(disk, body);
      return {};
    }

    case 'POST /history': {
      return {oldest: formatPosition(await disk.history.reload())};
    }

    case 'POST /rollback/rest': {
      await disk.history.rollback.rest();
      return {};
    }

    case 'POST /mark': {
      requireServing(disk, 'marks a moment');
      const label = isObject(body) ? body['label'] : undefined;
      if (typeof label !== 'string' || !isLabel(label)) {
        throw new DiskError('USAGE', `expected "label": ${LABEL_RULE}`);
      }

      return {position: formatPosition(await disk.history.mark(label))};
    }

    case 'POST /commit': {
      await disk.commit();
      return {durable: formatPosition(disk.shared.durable.get())};
    }

    case 'POST /renew': {
      return disk.renewal.prepare(timeoutOf(body));
    }

    case 'POST /stop': {
      if (disk.options.mode === 'serve') {
        throw new DiskError('RESOURCE_PRIMARY', 'a disk that serves ends when it is unmounted');
      }

      await disk.stop();
      return {};
    }

    default: {
      throw new DiskError('USAGE', `the disk process knows no ${route}`);
    }
  }
}

/** @returns Infinity for null */
function positionOf(body: unknown): number {
  const value = isObject(body) ? body['position'] : undefined;
  const position = typeof value === 'string' ? parsePosition(value) : undefined;
  if (value === null) return Infinity;
  if (position !== undefined) return position;
  throw new DiskError('USAGE', 'expected "position": 16 hex digits, or null');
}

function timeoutOf(body: unknown): number {
  const value = isObject(body) ? body['timeoutMs'] : undefined;
  if (typeof value === 'number' && value > 0 && value <= RENEW_MS_MAX) return value;
  throw new DiskError('USAGE', `expected "timeoutMs", at most ${RENEW_MS_MAX}`);
}

function modeSettingsOf(body: unknown): ModeSettings {
  const {mode, syncReplicas, degradeAfterSeconds} = isObject(body) ? body : {};
  const known = REPLICATION_MODES.find((each) => each === mode);
  const isCount = Number.isSafeInteger(syncReplicas) && Number(syncReplicas) >= 1;
  const isTime = typeof degradeAfterSeconds === 'number' && degradeAfterSeconds > 0;
  if (known === undefined || !isCount || !(isTime || degradeAfterSeconds === null)) {
    const text = 'expected "mode", "syncReplicas" and "degradeAfterSeconds", or null for never';
    throw new DiskError('USAGE', text);
  }

  return {mode: known, syncReplicas: Number(syncReplicas), degradeAfterSeconds};
}

function takeSpaceWish(disk: DiskProcess, body: unknown): void {
  const {whenFull, fetch, trim} = isObject(body) ? body : {};
  const known = WHEN_FULL.find((each) => each === whenFull);
  const {position, capBytes} = isObject(fetch) ? fetch : {};
  const at = typeof position === 'string' ? parsePosition(position) : undefined;
  const isStanding = at !== undefined && Number.isSafeInteger(capBytes) && Number(capBytes) > 0;
  if (known === undefined || (fetch !== null && !isStanding) || typeof trim !== 'boolean') {
    const text = 'expected "whenFull", "trim" and "fetch", with "position" and "capBytes", or null';
    throw new DiskError('USAGE', text);
  }

  disk.space?.configure(known);
  disk.space?.guard.tell(at === undefined ? undefined : {position: at, capBytes: Number(capBytes)});
  if (trim) disk.trim();
}

function requireServing(disk: DiskProcess, what: string): void {
  if (disk.options.mode === 'serve') return;
  throw new DiskError('RESOURCE_NOT_PRIMARY', `only a primary ${what}`);
}

async function rotate(disk: DiskProcess): Promise<{file: string; position: string}> {
  requireServing(disk, 'rotates its log');
  requireLog(disk, 'its log is rotated');

  const done = await disk.command(COMMAND.rotate);
  if (!done) throw new DiskError('LOG_SPACE', 'no next logfile is ready yet: try again');
  const number = disk.shared.get(WORD.currentNumber);
  const file = segmentName(number, disk.config?.node.name ?? '');
  return {file, position: formatPosition(disk.shared.appended.get())};
}

async function readBody(request: http.IncomingMessage): Promise<unknown> {
  let text = '';
  request.setEncoding('utf8');
  for await (const chunk of request as AsyncIterable<string>) {
    text += chunk;
    if (text.length > BODY_BYTES_MAX) throw new DiskError('USAGE', 'the request is too long');
  }

  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new DiskError('USAGE', 'the request is not JSON');
  }
}
