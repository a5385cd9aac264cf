/** H16 (f): a disk process that dies young, while the kernel copies requests to it, is no error. */
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {bareDisk, hashOf, randomFile, served, writeDisk} from '../helpers/disk-io.js';
import {until} from '../helpers/run.js';
import {TempHome, isRunning} from '../helpers/temp-home.js';

const LIVES = process.env['MARS_SOAK'] === '1' ? 60 : 8;
const DATA_MIB = 4;
const WRITES = 8;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

function childrenOf(pid: number): {pid: number; title: string}[] {
  const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children.split(' ').map((child) => ({pid: Number(child), title: titleOf(child)}));
}

function titleOf(pid: string): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0.*$/su, '');
  } catch {
    return ''; // It has ended meanwhile.
  }
}

test('H16 (f): SIGKILL in the first moments of a disk, under large writes, is only a pause', async () => {
  const source = randomFile(node, 'source.bin', DATA_MIB);
  const written = await hashOf(source, DATA_MIB);
  for (let life = 0; life < LIVES; life += 1) {
    const name = `young${life}`;
    const disk = await bareDisk(node, name, '64M');
    const {pid} = await node.diskProcesses(name);
    const helpers = childrenOf(pid).filter(({title}) => title === '@mars-ranges');
    assert.is(helpers.length, 2, 'fallocate has helpers: the disk process itself does not fork');
    const writing = (async () => {
      for (let at = 0; at < WRITES; at += 1) {
        await writeDisk(source, disk, [`seek=${at * DATA_MIB}`, 'conv=notrunc,fsync']);
      }
    })();
    const start = performance.now();
    await until(() => performance.now() - start >= (life % 4) * 10 + 5, 5000, 'moment of the kill');
    process.kill(pid, 'SIGKILL');
    await until(() => !isRunning(pid), 5000, `death of ${pid}`);
    await writing;
    await served(node, name, pid);
    await until(() => helpers.every((one) => !isRunning(one.pid)), 5000, 'end of the helpers');
    for (let at = 0; at < WRITES; at += 1) {
      assert.is(await hashOf(disk, DATA_MIB, at * DATA_MIB), written, `${name}, write ${at}`);
    }

    await node.mars('secondary', name);
  }
});

test.run();
