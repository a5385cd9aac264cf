/** A disk process that does nothing but answer on its socket; it ends when it is told to stop. */
import http from 'node:http';
import fs from 'node:fs';
import type {DiskStatus} from '../../../src/core/disk-status.js';

export interface StandIn {
  close(): Promise<void>;
}

/**
 * @param status what it says now
 * @param onCall what it does; answers are empty
 */
export async function standIn(
  socket: string,
  status: () => DiskStatus,
  onCall: (path: string, body: unknown) => void = () => undefined,
): Promise<StandIn> {
  const server = http.createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const path = request.url ?? '';
      const text = Buffer.concat(parts).toString();
      if (path !== '/status') onCall(path, text === '' ? {} : JSON.parse(text));
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(path === '/status' ? status() : {}));
      if (path === '/stop') void close();
    });
  });
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => {
        resolve();
      });
      server.closeIdleConnections();
    });
  fs.rmSync(socket, {force: true});
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {close};
}
