/**
 * A home as a SIGKILL would leave it at one moment, and the way back to it. The same inodes come
 * back, as an image is known by its inode: each file is kept under a second name.
 */
import fs from 'node:fs';
import {createHash} from 'node:crypto';
import {join} from 'node:path';

interface KeptFile {
  readonly path: string;
  readonly inode: string;
  readonly content: string;
}

/** Contents that were seen before take no more memory. */
const contents = new Map<string, Buffer>();

/** @returns what a content is known by */
function keepContent(path: string): string {
  const content = fs.readFileSync(path);
  const key = createHash('sha1').update(content).digest('hex');
  if (!contents.has(key)) contents.set(key, content);
  return key;
}

export class HomeImage {
  readonly #home: string;
  readonly #directories: string[] = [];
  readonly #files: KeptFile[] = [];
  readonly #links: {readonly path: string; readonly target: string}[] = [];

  constructor(home: string) {
    this.#home = home;
    fs.mkdirSync(inodesOf(home), {recursive: true});
    this.#keep(home);
  }

  #keep(directory: string): void {
    this.#directories.push(directory);
    for (const entry of fs.readdirSync(directory, {withFileTypes: true})) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) this.#keep(path);
      else if (entry.isSymbolicLink()) this.#links.push({path, target: fs.readlinkSync(path)});
      else if (entry.isFile()) this.#files.push(this.#kept(path));
    }
  }

  #kept(path: string): KeptFile {
    const inode = join(inodesOf(this.#home), String(fs.statSync(path).ino));
    if (!fs.existsSync(inode)) fs.linkSync(path, inode);
    return {path, inode, content: keepContent(path)};
  }

  /** The same for two moments between which nothing has changed. */
  get fingerprint(): string {
    return JSON.stringify([this.#directories, this.#files, this.#links]);
  }

  /** The home is as it was. */
  restore(): void {
    fs.rmSync(this.#home, {recursive: true});
    for (const directory of this.#directories) fs.mkdirSync(directory, {mode: 0o700});
    for (const {path, inode, content} of this.#files) {
      fs.linkSync(inode, path);
      fs.writeFileSync(path, contents.get(content) ?? '');
    }

    for (const {path, target} of this.#links) fs.symlinkSync(target, path);
  }
}

function inodesOf(home: string): string {
  return `${home}.inodes`;
}

/** Removes what was kept of a home. */
export function forgetImages(home: string): void {
  fs.rmSync(inodesOf(home), {recursive: true, force: true});
}
