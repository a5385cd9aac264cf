/** Reads small files of a mounted state by way of tar, as no thread of ours may touch the mount. */
import {spawn} from 'node:child_process';
import {buffer} from 'node:stream/consumers';
import {once} from 'node:events';

const BLOCK_BYTES = 512;
const TIMEOUT_MS = 60_000;

/** Paths below `root`, without `./`: content, or null for a directory. */
export async function readTree(root: string): Promise<Map<string, Buffer | null>> {
  // Every name of a file with its content, also where it has several.
  const args = ['-C', root, '--hard-dereference', '--format=ustar', '-cf', '-', '.'];
  const child = spawn('tar', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  const ended = once(child, 'close');
  const [bytes, errors] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
  const [status] = (await ended) as [number | null];
  if (status !== 0) throw new Error(`tar ended with ${status ?? 'a signal'}: ${String(errors)}`);
  return parseTar(bytes);
}

function parseTar(bytes: Buffer): Map<string, Buffer | null> {
  const found = new Map<string, Buffer | null>();
  for (let at = 0; at + BLOCK_BYTES <= bytes.length;) {
    const name = textAt(bytes, at, 100);
    if (name === '') break;
    const size = Number.parseInt(textAt(bytes, at + 124, 12), 8);
    const type = textAt(bytes, at + 156, 1);
    const plain = name.replace(/^\.\//u, '').replace(/\/$/u, '');
    const data = at + BLOCK_BYTES;
    if (type === '5') found.set(plain, null);
    else found.set(plain, bytes.subarray(data, data + size));
    at = data + (type === '5' ? 0 : Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES);
  }

  return found;
}

function textAt(bytes: Buffer, at: number, length: number): string {
  const text = bytes.toString('utf8', at, at + length);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}
