// Stands in for the disk process in tests of the daemon: a tmpfs with disk.img instead of a FUSE
// mount, and the socket. Files in HOME/fake steer it:
//   fatal     one line that is printed as the last word, then it ends with 1
//   phase     what it is at, instead of serving
//   restarts  how often it claims to have been started again
//   lingers   how many questions it still answers when its mount is gone, before it ends
//   rollback  what it says of one, JSON
//   backlog   bytes that it claims are not in the image; in replay mode it stays while > 0
import fs from 'node:fs';
import http from 'node:http';
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';

const [home, name, mountPoint, driver, mode] = process.argv.slice(2);
const read = (file) => {
  try {
    return fs.readFileSync(join(home, 'fake', file), 'utf8').trim();
  } catch {
    return '';
  }
};
const fatal = read('fatal');
if (fatal !== '') {
  console.log(fatal);
  process.exit(1);
}

const resource = JSON.parse(
  fs.readFileSync(join(home, 'resources', name, 'resource.json'), 'utf8'),
);
const image = join(mountPoint, 'disk.img');
const isMounted = () =>
  fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${mountPoint} rw`);
if (mode === 'serve') {
  const result = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'mars', mountPoint]);
  if (result.status !== 0) process.exit(1);
  fs.writeFileSync(image, '');
  fs.truncateSync(image, resource.sizeBytes);
}

let sizeBytes = resource.sizeBytes;
const startedAt = new Date().toISOString();
const hex = (value) => value.toString(16).padStart(16, '0');
let answersLeft = Infinity;
const status = () => {
  answersLeft -= 1;
  const backlog = Number(read('backlog') || '0');
  return {
    schema: 1,
    name,
    pid: process.pid,
    holderPid: process.pid,
    restarts: Number(read('restarts') || '0'),
    startedAt,
    phase: mode === 'serve' ? read('phase') || 'serving' : 'replaying',
    mode,
    driver: driver === 'auto' ? 'kernel' : driver,
    sizeBytes,
    epoch: 'ab'.repeat(16),
    position: hex(8192),
    durable: hex(8192),
    replayed: hex(8192 - backlog),
    replayingTo: hex(8192),
    replay: {state: backlog > 0 ? 'running' : 'idle', backlogBytes: backlog, since: startedAt},
    log: {
      files: 1,
      spares: 1,
      bytes: 4096,
      firstPosition: hex(0),
      segmentBytes: 4096,
      currentFile: null,
    },
    waiting: null,
    rollback: JSON.parse(read('rollback') || 'null'),
    messages: JSON.parse(read('messages') || '[]'),
    counters: {},
  };
};

const end = () => {
  fs.rmSync(socket, {force: true});
  process.exit(0);
};
const socket = join(home, 'run', 'disks', `${name}.sock`);
fs.rmSync(socket, {force: true});
http
  .createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      let answer = {};
      if (request.url === '/status') answer = status();
      // What it was told, one line each: the request, and the phase that it found in rollback.json.
      if (['/history', '/mark', '/rollback/rest'].includes(request.url)) {
        const file = join(home, 'resources', name, 'rollback.json');
        let phase = 'none';
        try {
          phase = /"phase": *"(\w+)"/u.exec(fs.readFileSync(file, 'utf8'))?.[1] ?? 'unreadable';
        } catch {
          // None is there.
        }

        const told = [request.url, JSON.parse(body || '{}').label, phase].filter(Boolean);
        fs.appendFileSync(join(home, 'fake', 'told'), `${told.join(' ')}\n`);
        answer = request.url === '/rollback/rest' ? {} : {oldest: hex(0), position: hex(8192)};
      }

      if (request.url === '/commit') answer = {durable: hex(8192)};
      if (request.url === '/log/rotate')
        answer = {file: 'log-000000002-alpha', position: hex(8192)};
      if (request.url === '/resize') {
        sizeBytes = JSON.parse(body).sizeBytes;
        fs.truncateSync(image, sizeBytes);
        answer = {sizeBytes};
      }

      const text = JSON.stringify(answer);
      response.writeHead(200, {connection: 'close', 'content-length': text.length});
      response.end(text);
      if (request.url === '/stop') response.once('close', end);
    });
  })
  .listen(socket);

setInterval(() => {
  if (mode === 'serve') {
    if (isMounted()) return;
    // The test is over: nobody asks the questions that it still lingers for.
    if (!fs.existsSync(home)) process.exit(0);
    if (answersLeft === Infinity) answersLeft = Number(read('lingers') || '0');
    if (answersLeft <= 0) end();
  } else if (Number(read('backlog') || '0') === 0) end();
}, 10);
