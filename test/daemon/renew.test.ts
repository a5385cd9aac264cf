/** A disk process that serves is renewed with a program that cannot start. */
import fs from 'node:fs';
import http from 'node:http';
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import type {Context} from '../../src/daemon/context.js';
import {renewDisk} from '../../src/daemon/renew.js';
import type {Resource} from '../../src/daemon/resource.js';
import {disk} from './replication/samples.js';

const LATE_SECONDS = 30;
const FATAL = JSON.stringify({fatal: {code: 'LOG_FORMAT', message: 'too new', details: {}}});

let directory = '';
let children: ChildProcess[] = [];
let server: http.Server | undefined;

test.before.each(() => {
  directory = fs.mkdtempSync('/var/tmp/mars-renew-');
  children = [];
  for (const name of ['old.mjs', 'new.mjs']) {
    fs.writeFileSync(join(directory, name), 'setInterval(() => undefined, 1000);\n');
  }
});
test.after.each(() => {
  server?.close();
  for (const child of children) child.kill('SIGKILL');
  fs.rmSync(directory, {recursive: true, force: true});
});

async function start(main: string): Promise<number> {
  const child = spawn(process.execPath, ['--no-warnings', join(directory, main)]);
  children.push(child);
  await once(child, 'spawn');
  assert.ok(child.pid);
  return child.pid;
}

const written = (): string =>
  fs.readFileSync(join(directory, 'web.program'), 'utf8').split('\n')[1] ?? '';

/** Stands in for holder and disk: after POST /renew it is `next` that says how the disk is. */
async function serve(before: number, next: () => Promise<number | undefined>): Promise<void> {
  let isRenewed = false;
  server = http.createServer((request, response) => {
    const answer = async (): Promise<object | undefined> => {
      if (request.url === '/renew') isRenewed = true;
      else if (request.url !== '/status') return undefined;
      const pid = isRenewed && request.url === '/status' ? await next() : before;
      return pid === undefined ? undefined : disk({mode: 'serve', phase: 'serving', pid});
    };
    void answer().then((value) => {
      if (value === undefined) request.socket.destroy();
      else response.writeHead(200, {connection: 'close'}).end(JSON.stringify(value));
    });
  });
  server.listen(join(directory, 'web.sock'));
  await once(server, 'listening');
}

function renew(timeoutSeconds: number): Promise<unknown> {
  const paths = {socket: join(directory, 'web.sock'), output: join(directory, 'web.out')};
  const resource = {name: 'web', places: {paths}, noteRenewed: () => undefined};
  const programs = {holder: '', main: join(directory, 'new.mjs')};
  const context = {programs, tell: () => undefined};
  return renewDisk(context as unknown as Context, resource as unknown as Resource, {
    timeoutSeconds,
  });
}

test('the former program is put back when the new one cannot start, and serves again', async () => {
  const before = await start('old.mjs');
  let again: number | undefined;
  await serve(before, async () => {
    fs.writeFileSync(join(directory, 'web.out'), `${FATAL}\n`);
    if (written().endsWith('old.mjs')) again ??= await start('old.mjs');
    return again;
  });
  const error: unknown = await renew(LATE_SECONDS).catch((thrown: unknown) => thrown);
  assert.ok(isDiskError(error, 'UPGRADE_FAILED'), String(error));
  assert.match(error.message, /too new.*former one serves again/u);
  assert.match(written(), /old\.mjs$/u);
  assert.ok(again);
});

test('the former program is put back also when nothing answers in time', async () => {
  const before = await start('old.mjs');
  await serve(before, () => Promise.resolve(undefined));
  const error: unknown = await renew(1).catch((thrown: unknown) => thrown);
  assert.ok(isDiskError(error, 'TIMEOUT'), String(error));
  assert.match(written(), /old\.mjs$/u);
});

test('the new program stays where it serves', async () => {
  const before = await start('old.mjs');
  const after = await start('new.mjs');
  await serve(before, () => Promise.resolve(after));
  await renew(LATE_SECONDS);
  assert.match(written(), /new\.mjs$/u);
});

test.run();
