/** What both ends of a peer connection agree on: versions, headers, bodies of hello and join. */
import * as v from 'valibot';
import {DiskError} from '../core/errors.js';
import {fingerprintSchema, idSchema, membersSchema, nameSchema} from './members.js';

/** Grows when older versions cannot take part any more. */
export const PEER_PROTOCOL_VERSION = 1;

/** Version of the caller, or of who answers. */
export const VERSION_HEADER = 'mars-peer';
/** Id of the node that speaks: who answers, and over ssh who asks. */
export const NODE_HEADER = 'mars-node';

/** The upgrade of the control socket that makes it a connection of a peer. */
export const PEER_UPGRADE = 'mars-peer';

export const helloSchema = v.looseObject({
  protocol: v.number(),
  version: v.string(),
  nodeId: idSchema,
  name: nameSchema,
  cluster: idSchema,
  fingerprint: fingerprintSchema,
});

export type Hello = v.InferOutput<typeof helloSchema>;

export const joinSchema = v.looseObject({
  /** null over ssh: root asks. */
  secret: v.nullable(v.pipe(v.string(), v.maxLength(200))),
  id: idSchema,
  name: nameSchema,
  fingerprint: fingerprintSchema,
  /** `listen` of its node.json, '' where it does not listen. */
  listen: v.pipe(v.string(), v.maxLength(300)),
  /** Name of its machine, for an address over ssh. */
  host: v.pipe(v.string(), v.maxLength(300)),
});

export type JoinBody = v.InferOutput<typeof joinSchema>;

/** The cluster as the answer to join, and as it is told to all members. */
export const clusterSchema = v.looseObject({id: idSchema, members: membersSchema});

/**
 * @param header what the other side said; undefined: it is no peer of ours
 * @param who the other side, for the message
 * @throws DiskError PEER_VERSION, PEER_PROTOCOL
 */
export function checkVersion(header: unknown, who: string): void {
  if (header === String(PEER_PROTOCOL_VERSION)) return;
  const version = typeof header === 'string' && /^\d{1,6}$/u.test(header) ? Number(header) : NaN;
  if (Number.isNaN(version)) {
    throw new DiskError('PEER_PROTOCOL', `${who} does not speak as a peer of mars does`);
  }

  const newer = version > PEER_PROTOCOL_VERSION ? 'newer' : 'older';
  throw new DiskError(
    'PEER_VERSION',
    `${who} has protocol ${version}, this node ${PEER_PROTOCOL_VERSION}: it is ${newer}`,
    {theirs: version, ours: PEER_PROTOCOL_VERSION},
  );
}
