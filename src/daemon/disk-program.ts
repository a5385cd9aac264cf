/** Which program the generations of a disk process run: NAME.program beside its socket, for its holder. */
import fs from 'node:fs';
import {errnoOf, storeError} from '../core/errors.js';

/** Two absolute paths. */
export interface DiskProgram {
  readonly node: string;
  readonly main: string;
}

/** What the next generation is to run; the holder was started with the paths of its time. @throws DiskError STORE_* */
export function writeProgram(socket: string, {node, main}: DiskProgram): void {
  const file = socket.replace(/sock$/u, 'program');
  try {
    fs.writeFileSync(`${file}.new`, `${node}\n${main}\n`, {mode: 0o600});
    fs.renameSync(`${file}.new`, file);
  } catch (error) {
    throw storeError(error, `write ${file}`);
  }
}

/** What a disk process runs, as /proc has it; undefined where it is gone, or cannot be seen. */
export function programOf(pid: number): DiskProgram | undefined {
  try {
    const node = fs.readlinkSync(`/proc/${pid}/exe`);
    const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    const main = words.slice(1).find((word) => word !== '' && !word.startsWith('--'));
    return main === undefined ? undefined : {node, main};
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}
