/** Requests as bytes, replies caught: drives a RequestDispatcher without /dev/fuse. */
import fs from 'node:fs';
import path from 'node:path';
import {IN_HEADER_BYTES, REQUEST_OFFSET} from '../../src/fuse/abi.js';
import {RequestDispatcher} from '../../src/fuse/dispatcher.js';
import type {DispatcherOptions} from '../../src/fuse/dispatcher.js';
import type {InitResult} from '../../src/fuse/init.js';
import {createMemoryHandler} from './memory-handler.js';
import type {MemoryHandler} from './memory-handler.js';

/** What the kernel's own header says (fixtures/fuse/golden.c). */
export const GOLDEN = JSON.parse(
  fs.readFileSync(
    path.join(import.meta.dirname, '..', '..', 'fixtures', 'fuse', 'golden.json'),
    'utf8',
  ),
) as Readonly<Record<string, string>>;

export function golden(name: string): Buffer {
  const hex = GOLDEN[name];
  if (hex === undefined) throw new Error(`no golden bytes "${name}"`);
  return Buffer.from(hex, 'hex');
}

export interface Reply {
  readonly bytes: Buffer;
  /** 0 or a positive errno. */
  readonly errno: number;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly body: Buffer;
}

export interface Rig {
  readonly handler: MemoryHandler;
  readonly dispatcher: RequestDispatcher;
  readonly replies: Reply[];
  readonly inits: InitResult[];
  /** Handles a request; returns the replies that it made. */
  ask(request: Buffer): Reply[];
}

export const UNIQUE_LOW = 0xfffffff6;
export const UNIQUE_HIGH = 0x80000001;

/** A dispatcher over a disk of `diskBytes` in memory. */
export function createRig(diskBytes = 1024 * 1024, options: Partial<DispatcherOptions> = {}): Rig {
  const handler = createMemoryHandler(Buffer.alloc(diskBytes));
  const replies: Reply[] = [];
  const inits: InitResult[] = [];
  const dispatcher = new RequestDispatcher({
    handler,
    send: (reply, offset, lengthBytes) => {
      replies.push(parseReply(Buffer.from(reply.subarray(offset, offset + lengthBytes))));
    },
    onInit: (init) => {
      inits.push(init);
    },
    uid: 1000,
    generation: 5,
    wallMs: () => 1_763_800_000_123,
    ...options,
  });
  return {
    handler,
    dispatcher,
    replies,
    inits,
    ask: (request) => {
      const before = replies.length;
      request.copy(dispatcher.request, REQUEST_OFFSET);
      dispatcher.handle(request.byteLength);
      return replies.slice(before);
    },
  };
}

function parseReply(bytes: Buffer): Reply {
  return {
    bytes,
    errno: -bytes.readInt32LE(4),
    uniqueLow: bytes.readUInt32LE(8),
    uniqueHigh: bytes.readUInt32LE(12),
    body: bytes.subarray(16),
  };
}

/** A request with a body of 64-bit fields and whatever follows them. */
export function makeRequest(
  opcode: number,
  node: number,
  fields: readonly (number | bigint)[] = [],
  tail: Buffer = Buffer.alloc(0),
): Buffer {
  const bytes = Buffer.alloc(IN_HEADER_BYTES + 8 * fields.length + tail.byteLength);
  bytes.writeUInt32LE(bytes.byteLength, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeUInt32LE(UNIQUE_LOW, 8);
  bytes.writeUInt32LE(UNIQUE_HIGH, 12);
  bytes.writeBigUInt64LE(BigInt(node), 16);
  fields.forEach((field, index) => {
    bytes.writeBigUInt64LE(BigInt(field), IN_HEADER_BYTES + 8 * index);
  });
  tail.copy(bytes, IN_HEADER_BYTES + 8 * fields.length);
  return bytes;
}
