/**
 * The FUSE side of a VolatileTree: one request in, one reply out, as src/fuse/dispatcher.ts for the tree of a
 * disk. `mkdir` of a name that begins with `.power-loss-` in the root is the power loss: from then on every
 * request fails with EIO, until the tree is mounted anew.
 */
import fs from 'node:fs';
import {errnoOf} from '../../src/core/errors.js';
import {
  BODY,
  ENTRY_OUT_BYTES,
  FALLOCATE_MODE,
  FATTR_SIZE,
  IN,
  IN_HEADER_BYTES,
  OPCODE,
  OPEN_OUT_BYTES,
  OUT_HEADER_BYTES,
  PAYLOAD_OFFSET,
  REPLY_BODY_OFFSET,
  REPLY_BUFFER_BYTES,
  REPLY_OFFSET,
  REQUEST_BUFFER_BYTES,
  REQUEST_OFFSET,
  REQUEST_READ_BYTES,
  STATFS_OUT_BYTES,
  readUint64,
  writeUint64,
} from '../../src/fuse/abi.js';
import {
  encodeAttrOut,
  encodeDirent,
  encodeEntryOut,
  encodeHeader,
  encodeInitOut,
  encodeOpenOut,
  encodeWriteOut,
  type Attributes,
} from '../../src/fuse/encode.js';
import {decodeInit, negotiate} from '../../src/fuse/init.js';
import {sendReply} from '../../src/fuse/responder.js';
import type {TreeNode, VolatileTree} from './volatile-tree.js';

export const POWER_LOSS_PREFIX = '.power-loss-';

const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EEXIST: 17,
  ENOTDIR: 20,
  EINVAL: 22,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  EOPNOTSUPP: 95,
} as const;
const NO_REPLY = -1000;
const FATTR_MODE = 1;
const FATTR_OWNER = 2 | 4;
/** Free blocks of 4 KiB that statfs tells: 16 GiB. */
const FREE_BLOCKS = 2 ** 22;
const SILENT: ReadonlySet<number> = new Set([
  OPCODE.FORGET,
  OPCODE.BATCH_FORGET,
  OPCODE.NOTIFY_REPLY,
]);

class Refusal extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

export interface FileServerOptions {
  readonly onPowerLoss: (name: string) => void;
  /** An fsync of a file does nothing: to prove that it is found. */
  readonly lies: boolean;
}

/** Serves one life of a tree: until it is unmounted. */
export class FileServer {
  readonly #tree: VolatileTree;
  readonly #options: FileServerOptions;
  readonly #request = Buffer.alloc(REQUEST_BUFFER_BYTES);
  readonly #words = new Uint32Array(
    this.#request.buffer,
    this.#request.byteOffset + REQUEST_OFFSET,
  );
  readonly #reply = Buffer.alloc(REPLY_BUFFER_BYTES);
  readonly #out = new Uint32Array(
    this.#reply.buffer,
    this.#reply.byteOffset + REPLY_OFFSET,
    REPLY_BODY_OFFSET / 4,
  );
  #isDead = false;

  constructor(tree: VolatileTree, options: FileServerOptions) {
    this.#tree = tree;
    this.#options = options;
  }

  /** @param fd /dev/fuse of the mount */
  run(fd: number): void {
    for (;;) {
      let lengthBytes: number;
      try {
        lengthBytes = fs.readSync(fd, this.#request, REQUEST_OFFSET, REQUEST_READ_BYTES, null);
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === 'ENODEV') return;
        if (errno === 'ENOENT' || errno === 'EINTR' || errno === 'EAGAIN') continue;
        throw error;
      }

      this.#handle(fd, lengthBytes);
    }
  }

  #handle(fd: number, lengthBytes: number): void {
    const opcode = this.#words[IN.OPCODE] ?? 0;
    const [low, high] = [this.#words[IN.UNIQUE_LOW] ?? 0, this.#words[IN.UNIQUE_HIGH] ?? 0];
    if (SILENT.has(opcode)) return;
    let result: number;
    try {
      const isOver = this.#isDead && opcode !== OPCODE.INIT && opcode !== OPCODE.DESTROY;
      result = isOver ? -ERRNO.EIO : this.#dispatch(opcode, lengthBytes);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      result = -error.errno;
    }

    if (result === NO_REPLY) return;
    const bytes = encodeHeader(this.#out, Math.max(0, result), Math.max(0, -result), low, high);
    sendReply(fd, this.#reply, REPLY_OFFSET, bytes);
  }

  #dispatch(opcode: number, lengthBytes: number): number {
    const node = this.#node(readUint64(this.#words, IN.NODE_LOW));
    switch (opcode) {
      case OPCODE.INIT:
        return encodeInitOut(this.#out, negotiate(decodeInit(this.#words, lengthBytes)));
      case OPCODE.LOOKUP:
        return this.#entry(this.#child(node, this.#name(0)));
      case OPCODE.GETATTR:
        return encodeAttrOut(this.#out, attributesOf(node));
      case OPCODE.SETATTR:
        return this.#setAttributes(node);
      case OPCODE.READLINK:
        return this.#reply.write(node.link, REPLY_BODY_OFFSET);
      case OPCODE.SYMLINK: {
        const [name = '', link = ''] = this.#names(0);
        return this.#entry(this.#make(node, name, 0o120777, link));
      }

      case OPCODE.MKNOD:
        return this.#entry(this.#make(node, this.#name(16), this.#word(0)));
      case OPCODE.MKDIR:
        return this.#makeDirectory(node);
      case OPCODE.CREATE: {
        const made = this.#make(node, this.#name(16), this.#word(1));
        this.#entry(made);
        this.#out.fill(0, (OUT_HEADER_BYTES + ENTRY_OUT_BYTES) / 4, 256);
        return ENTRY_OUT_BYTES + OPEN_OUT_BYTES;
      }

      case OPCODE.UNLINK:
        this.#child(node, this.#name(0));
        this.#tree.unlink(node, this.#name(0));
        return 0;
      case OPCODE.RMDIR: {
        const directory = this.#child(node, this.#name(0));
        if (this.#tree.list(directory).length > 0) throw new Refusal(ERRNO.ENOTEMPTY);
        this.#tree.unlink(node, this.#name(0));
        return 0;
      }

      case OPCODE.RENAME:
        return this.#rename(node, 8);
      case OPCODE.RENAME2:
        return this.#rename(node, 16);
      default:
        return this.#dispatchFile(opcode, node);
    }
  }

  #dispatchFile(opcode: number, node: TreeNode): number {
    switch (opcode) {
      case OPCODE.OPEN:
      case OPCODE.OPENDIR:
        return encodeOpenOut(this.#out, 0, 0, 0);
      case OPCODE.READ:
        return this.#read(node);
      case OPCODE.WRITE:
        return this.#write(node);
      case OPCODE.READDIR:
        return this.#readDirectory(node);
      case OPCODE.FSYNC:
        if (!this.#options.lies) node.inode.sync();
        return 0;
      case OPCODE.FSYNCDIR:
        this.#tree.syncDirectory(node);
        return 0;
      case OPCODE.FALLOCATE:
        return this.#allocate(node);
      case OPCODE.STATFS:
        return this.#statfs();
      case OPCODE.FLUSH:
      case OPCODE.RELEASE:
      case OPCODE.RELEASEDIR:
      case OPCODE.ACCESS:
      case OPCODE.DESTROY:
        return 0;
      case OPCODE.LINK:
        throw new Refusal(ERRNO.EPERM);
      default:
        throw new Refusal(ERRNO.ENOSYS);
    }
  }

  #word(index: number): number {
    return this.#words[BODY + index] ?? 0;
  }

  #node(id: number): TreeNode {
    // INIT and STATFS name no node of their own.
    const node = this.#tree.node(id === 0 ? 1 : id);
    if (node === undefined) throw new Refusal(ERRNO.ENOENT);
    return node;
  }

  #child(parent: TreeNode, name: string): TreeNode {
    const found = this.#tree.lookup(parent, name);
    if (found === undefined) throw new Refusal(ERRNO.ENOENT);
    return found;
  }

  /** Texts that end with a NUL, from a byte of the body on. */
  #names(offset: number): string[] {
    const length = this.#words[IN.LENGTH] ?? 0;
    const start = REQUEST_OFFSET + IN_HEADER_BYTES + offset;
    return this.#request.toString('utf8', start, REQUEST_OFFSET + length).split('\0');
  }

  #name(offset: number): string {
    return this.#names(offset)[0] ?? '';
  }

  #entry(node: TreeNode): number {
    return encodeEntryOut(this.#out, node.inode.id, attributesOf(node));
  }

  #make(parent: TreeNode, name: string, mode: number, link = ''): TreeNode {
    if (this.#tree.lookup(parent, name) !== undefined) throw new Refusal(ERRNO.EEXIST);
    return this.#tree.create(parent, name, mode, link);
  }

  #makeDirectory(parent: TreeNode): number {
    const name = this.#name(8);
    if (parent.inode.id === 1 && name.startsWith(POWER_LOSS_PREFIX)) {
      this.#isDead = true;
      this.#options.onPowerLoss(name);
      throw new Refusal(ERRNO.EIO);
    }

    return this.#entry(this.#make(parent, name, 0o040000 | this.#word(0)));
  }

  #rename(parent: TreeNode, offset: number): number {
    const [name = '', newName = ''] = this.#names(offset);
    this.#child(parent, name);
    const target = this.#node(readUint64(this.#words, BODY));
    if (offset === 16 && this.#word(2) !== 0) throw new Refusal(ERRNO.EINVAL);
    const over = this.#tree.lookup(target, newName);
    if (over?.inode.directory === true && this.#tree.list(over).length > 0) {
      throw new Refusal(ERRNO.ENOTEMPTY);
    }

    this.#tree.rename(parent, name, target, newName);
    return 0;
  }

  #setAttributes(node: TreeNode): number {
    const valid = this.#word(0);
    if ((valid & FATTR_SIZE) !== 0) {
      node.inode.truncate(this.#tree.next(), readUint64(this.#words, BODY + 4));
    }

    if ((valid & FATTR_MODE) !== 0) node.mode = (node.mode & 0o170000) | (this.#word(17) & 0o7777);
    if ((valid & FATTR_OWNER) !== 0) [node.uid, node.gid] = [this.#word(19), this.#word(20)];
    return encodeAttrOut(this.#out, attributesOf(node));
  }

  #read(node: TreeNode): number {
    const offset = readUint64(this.#words, BODY + 2);
    return node.inode.read(this.#reply, REPLY_BODY_OFFSET, this.#word(4), offset);
  }

  #write(node: TreeNode): number {
    const offset = readUint64(this.#words, BODY + 2);
    const length = this.#word(4);
    const bytes = this.#request.subarray(PAYLOAD_OFFSET, PAYLOAD_OFFSET + length);
    node.inode.write(this.#tree.next(), bytes, offset);
    return encodeWriteOut(this.#out, length);
  }

  #allocate(node: TreeNode): number {
    const offset = readUint64(this.#words, BODY + 2);
    const length = readUint64(this.#words, BODY + 4);
    const mode = this.#word(6);
    const {inode} = node;
    if (mode === FALLOCATE_MODE.ALLOCATE) {
      const end = offset + length;
      if (inode.sizeBytes < end) inode.truncate(this.#tree.next(), end);
    } else if (mode === FALLOCATE_MODE.PUNCH_HOLE || mode === FALLOCATE_MODE.ZERO_KEEP_SIZE) {
      inode.punch(this.#tree.next(), offset, length);
    } else throw new Refusal(ERRNO.EOPNOTSUPP);
    return 0;
  }

  #readDirectory(node: TreeNode): number {
    if (!node.inode.directory) throw new Refusal(ERRNO.ENOTDIR);
    const entries = ['.', '..', ...this.#tree.list(node)];
    const end = REPLY_BODY_OFFSET + this.#word(4);
    let at = REPLY_BODY_OFFSET;
    for (let index = readUint64(this.#words, BODY + 2); index < entries.length; index += 1) {
      const name = entries[index] ?? '';
      const child = index < 2 ? node : this.#child(node, name);
      const type = (child.mode >>> 12) & 0o17;
      const bytes = encodeDirent(this.#reply, at, end, child.inode.id, index + 1, type, name);
      if (bytes === 0) break;
      at += bytes;
    }

    return at - REPLY_BODY_OFFSET;
  }

  #statfs(): number {
    const at = OUT_HEADER_BYTES / 4;
    this.#out.fill(0, at, at + STATFS_OUT_BYTES / 4);
    for (let index = 0; index < 5; index += 1) {
      writeUint64(this.#out, at + 2 * index, FREE_BLOCKS);
    }

    this.#out[at + 10] = 4096;
    this.#out[at + 11] = 255;
    this.#out[at + 12] = 4096;
    return STATFS_OUT_BYTES;
  }
}

function attributesOf({inode, mode, uid, gid, madeMs, link}: TreeNode): Attributes {
  return {
    inode: inode.id,
    sizeBytes: link === '' ? inode.sizeBytes : Buffer.byteLength(link),
    blocks: inode.pageCount * 8,
    // Never changes: it would be taken for the time of birth, which tells one image from another.
    timeMs: madeMs,
    mode,
    linkCount: inode.directory ? 2 : 1,
    uid,
    gid,
  };
}
