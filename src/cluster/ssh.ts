/**
 * The way to a peer through the system's ssh: `ssh HOST mars peer-stdio`, whose input and output are
 * the connection. Who is who, and whether it may, is ssh's affair: keys, known_hosts and jump
 * hosts are the user's. Over there it ends at the control socket, which only root can open.
 */
import {spawn} from 'node:child_process';
import {Duplex} from 'node:stream';
import {DiskError} from '../core/errors.js';

const STDERR_CHARS_MAX = 4096;
const OPTIONS = [
  ...['-T', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10'],
  // Silence of 10 s is a dead peer.
  ...['-o', 'ServerAliveInterval=5', '-o', 'ServerAliveCountMax=2'],
];

/**
 * Starts ssh; whether it gets there shows when the stream is used. MARS_SSH names another program.
 *
 * @returns a stream that ends with PEER_SSH_FAILED where ssh does
 */
export function connectSsh(target: string, port: number | undefined): Duplex {
  const program = process.env['MARS_SSH'] ?? 'ssh';
  const words = [...OPTIONS, ...(port === undefined ? [] : ['-p', String(port)])];
  const child = spawn(program, [...words, '--', target, 'mars', 'peer-stdio'], {
    cwd: '/',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-STDERR_CHARS_MAX);
  });
  const stream = new Duplex({
    read: () => {
      child.stdout.resume();
    },
    // Where ssh has ended, its status says why, not the broken pipe.
    write: (chunk: Buffer, _encoding, done) => {
      child.stdin.write(chunk, () => {
        done();
      });
    },
    final: (done) => {
      child.stdin.end(done);
    },
    destroy: (error, done) => {
      child.kill();
      done(error);
    },
  });
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) child.stdout.pause();
  });
  child.once('error', (error) => {
    stream.destroy(sshFailed(target, `${program} cannot be started: ${error.message}`));
  });
  child.once('close', (status) => {
    if (stream.destroyed) return;
    if (status === 0) {
      stream.push(null);
      return;
    }

    stream.destroy(sshFailed(target, reasonOf(target, said, status)));
  });
  // What an HTTP agent asks of a socket; there is nothing to set on pipes.
  const nothing = (): void => undefined;
  return Object.assign(stream, {
    ...{setKeepAlive: nothing, setNoDelay: nothing, setTimeout: nothing},
    ...{ref: nothing, unref: nothing},
  });
}

/** What the last words of ssh mean, as they are; a host key is the one case with a remedy of its own. */
function reasonOf(target: string, said: string, status: number | null): string {
  const end = said.trim().split('\n').slice(-3).join('; ');
  const host = target.replace(/^.*@/u, '');
  if (/HOST IDENTIFICATION HAS CHANGED|host key for .* has changed/iu.test(said)) {
    return (
      `${host} shows another key than the known one: if it got a new one on purpose, compare it ` +
      `there, then ssh-keygen -R ${host} and ssh ${host} once by hand (${end})`
    );
  }

  if (/host key verification failed/iu.test(said)) {
    return `the key of its host is not known: compare it in a first ssh ${host} by hand (${end})`;
  }

  return end === '' ? `status ${status ?? 'none'}` : end;
}

function sshFailed(target: string, why: string): DiskError {
  return new DiskError('PEER_SSH_FAILED', `ssh ${target} mars peer-stdio: ${why}`, {target});
}
