/** nbdkit's file plugin behind nbdfuse: of the peers that keep data right, the fastest. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {run, until} from '../test/helpers/run.js';
import {killAndWait} from '../test/helpers/temp-home.js';
import {loopSubject, type Bed, type Subject} from './subject.js';

export interface Peer {
  readonly subject: Subject;
  stop(): Promise<void>;
}

/** Needs Debian's nbdkit and libnbd-bin: `bin/setup --peers`. */
export async function startNbdfuse(bed: Bed): Promise<Peer> {
  const image = path.join(bed.directory, 'nbdfuse.img');
  const socket = path.join(bed.directory, 'nbd.sock');
  const pidFile = path.join(bed.directory, 'nbdkit.pid');
  const directory = path.join(bed.directory, 'nbdfuse');
  fs.mkdirSync(directory);
  fs.writeFileSync(image, '');
  fs.truncateSync(image, bed.sizeBytes);
  await run('nbdkit', ['-P', pidFile, '-U', socket, 'file', `file=${image}`]);
  await until(() => fs.existsSync(pidFile), 5000, 'nbdkit');
  const server = Number(fs.readFileSync(pidFile, 'utf8'));
  const file = path.join(directory, 'nbd.img');
  const fuse = spawn('nbdfuse', ['-C', '4', file, '--unix', socket], {
    detached: true,
    stdio: 'ignore',
  });
  const client = fuse.pid;
  if (client === undefined) throw new Error('nbdfuse cannot be started');
  await until(() => fs.existsSync(file), 5000, 'nbdfuse');
  return {
    subject: loopSubject(bed, 'nbdfuse', file, [client, server]),
    stop: async () => {
      await run('umount', [directory]);
      await killAndWait(client);
      await killAndWait(server);
    },
  };
}
