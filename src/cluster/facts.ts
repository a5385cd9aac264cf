/**
 * What nodes tell of themselves and of their replicas. Each node owns its facts and numbers them;
 * of two versions the owner's newest counts, whoever brought it. Pure: times come from the caller.
 *
 * Facts are hints. Nothing is destroyed or made primary on their strength alone: who acts asks the
 * node itself, or the grant.
 */
import * as v from 'valibot';
import {assert} from '../core/assert.js';
import {check} from '../core/check.js';
import {DiskError} from '../core/errors.js';
import {idSchema, MEMBERS_MAX, nameSchema} from './members.js';
import {sharedModeSchema} from './shared-mode.js';

/** Of a lineage, the newest entries: older ones are not kept in logs either. */
export const FACTS_LINEAGE_MAX = 16;
const RESOURCES_MAX = 1024;
const MESSAGES_MAX = 32;
const TEXT_CHARS_MAX = 2000;

const text = v.pipe(v.string(), v.maxLength(TEXT_CHARS_MAX));
const nullable = <S extends v.GenericSchema>(schema: S) => v.nullable(schema);
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** A position as fixed-width hex. */
const position = v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/u, 'not a position'));
const role = v.picklist(['primary', 'secondary']);

const lineageEntry = v.object({
  epoch: idSchema,
  node: idSchema,
  nodeName: nameSchema,
  start: position,
  chain: text,
});

const resourceSchema = v.looseObject({
  id: idSchema,
  name: nameSchema,
  sizeBytes: count,
  createdAt: text,
  segmentBytes: count,
  alignmentBytes: count,
  /** async, near-sync or sync. */
  mode: text,
  /** The mode with its change; absent: never changed, or of an older version. */
  modeSettings: v.optional(sharedModeSchema),
  /** Of a primary: since when flushes are answered without the replicas that the mode wants. */
  degradedSince: v.optional(nullable(text)),
  role,
  designatedRole: role,
  attached: v.boolean(),
  /** A ResourceState of control/api; of a later version perhaps another word. */
  state: text,
  epoch: nullable(idSchema),
  position: nullable(position),
  chain: nullable(text),
  durable: nullable(position),
  replayed: nullable(position),
  replayTo: nullable(position),
  /** Its image trails behind by so much on purpose; absent: it does not. */
  historySeconds: v.optional(count),
  lineage: v.pipe(v.array(lineageEntry), v.maxLength(FACTS_LINEAGE_MAX)),
  openCount: nullable(count),
  granted: nullable(
    v.looseObject({
      to: idSchema,
      epoch: idSchema,
      position,
      known: v.optional(v.array(idSchema)),
    }),
  ),
  forked: nullable(
    v.looseObject({
      /** Where the two histories part. */
      position: nullable(position),
      /** The node whose history is not ours. */
      with: idSchema,
      text,
    }),
  ),
  sync: nullable(v.looseObject({doneBytes: count, totalBytes: count})),
  fetchPaused: v.boolean(),
  replayPaused: v.boolean(),
  messages: v.pipe(
    v.array(
      v.looseObject({
        code: text,
        severity: v.picklist(['info', 'warning', 'critical']),
        text,
        since: text,
      }),
    ),
    v.maxLength(MESSAGES_MAX),
  ),
  logBytes: count,
});

/** A resource that was deleted, by its id; the name may be another one's since. */
export const deletedSchema = v.looseObject({
  id: idSchema,
  name: nameSchema,
  at: text,
  /** Its last epoch there: a replica that has later ones lives on. null: it had none. */
  epoch: v.nullable(idSchema),
});

export type DeletedResource = v.InferOutput<typeof deletedSchema>;

const nodeSchema = v.looseObject({
  nodeId: idSchema,
  name: nameSchema,
  version: count,
  /** The version since which they say the same; absent: this one. */
  content: v.exactOptional(count),
  at: text,
  address: text,
  resources: v.pipe(v.array(resourceSchema), v.maxLength(RESOURCES_MAX)),
  /** Names of resources of which nothing else can be told: their files cannot be read. */
  unreadable: v.exactOptional(v.pipe(v.array(nameSchema), v.maxLength(RESOURCES_MAX))),
  /** Resources that were deleted there as the last node that had them. */
  deleted: v.exactOptional(v.pipe(v.array(deletedSchema), v.maxLength(RESOURCES_MAX))),
});

/** Of a node whose facts of version `content` are known over there: the same still at `version`. */
const beatSchema = v.looseObject({nodeId: idSchema, content: count, version: count, at: text});

/** What is posted, and answered: facts, and since they need not be sent again, beats. */
const factsSchema = v.looseObject({
  facts: v.pipe(v.array(nodeSchema), v.maxLength(2 * MEMBERS_MAX)),
  beats: v.exactOptional(v.pipe(v.array(beatSchema), v.maxLength(2 * MEMBERS_MAX)), []),
  /** Versions that the sender knows, by node; an older one does not say. */
  knows: v.exactOptional(v.record(idSchema, count)),
});

/** One replica, as its node tells. null: not known there. */
export type ResourceFacts = v.InferOutput<typeof resourceSchema>;

/** One node, as it tells. */
export type NodeFacts = v.InferOutput<typeof nodeSchema>;

/** One node's word that nothing has changed. */
export type Beat = v.InferOutput<typeof beatSchema>;

/** Versions by node. */
export type Versions = Readonly<Record<string, number>>;

/** What is new for somebody. */
export interface News {
  readonly facts: readonly NodeFacts[];
  readonly beats: readonly Beat[];
}

/** Checks a body of facts. @throws DiskError PEER_PROTOCOL with the place of the fault */
export function checkFacts(body: unknown): NodeFacts[] {
  return checkNews(body).facts;
}

/** As checkFacts, with what a sender of this version says besides. */
export function checkNews(body: unknown): v.InferOutput<typeof factsSchema> {
  try {
    return check(factsSchema, body);
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    throw new DiskError('PEER_PROTOCOL', `facts of a peer are not valid: ${fault}`, {fault});
  }
}

interface Known {
  readonly facts: NodeFacts;
  /** When this version came here, on the caller's monotonic clock. */
  readonly heardMs: number;
}

/** The newest facts of each node. */
export class FactStore {
  readonly #selfId: string;
  readonly #known = new Map<string, Known>();
  #ownVersion = 0;
  #revision = 0;

  constructor(selfId: string) {
    this.#selfId = selfId;
  }

  /** Grows with all that other nodes tell anew; a word that nothing has changed does not count. */
  get revision(): number {
    return this.#revision;
  }

  /**
   * The version of the next own facts: above all that were told, also before a restart with a clock
   * that was put back; peers tell us those.
   */
  nextVersion(wallMs: number): number {
    return Math.max(Math.trunc(wallMs), this.#ownVersion + 1);
  }

  /** Takes this node's own facts. */
  own(facts: NodeFacts, nowMs: number): void {
    assert(facts.nodeId === this.#selfId, 'own facts are of this node');
    assert(facts.version > this.#ownVersion, 'versions of own facts grow');
    this.#ownVersion = facts.version;
    this.#take(facts, nowMs);
  }

  /**
   * Takes what a peer knows. Nobody else's word on this node counts, and none on nodes that are no
   * members.
   *
   * @returns ids of nodes of which something new is known
   */
  merge(
    list: readonly NodeFacts[],
    nowMs: number,
    isMember: (nodeId: string) => boolean = () => true,
  ): string[] {
    const fresh: string[] = [];
    for (const facts of list) {
      if (facts.nodeId === this.#selfId) {
        this.#ownVersion = Math.max(this.#ownVersion, facts.version);
        continue;
      }

      if (!isMember(facts.nodeId)) continue;
      if (this.#take(facts, nowMs)) fresh.push(facts.nodeId);
    }

    return fresh;
  }

  #take(facts: NodeFacts, nowMs: number): boolean {
    const known = this.#known.get(facts.nodeId);
    if (known !== undefined && known.facts.version >= facts.version) return false;
    this.#known.set(facts.nodeId, {facts, heardMs: nowMs});
    const isNew = known === undefined || contentOf(known.facts) !== contentOf(facts);
    if (isNew && facts.nodeId !== this.#selfId) this.#revision += 1;
    return true;
  }

  /** undefined: never heard of. */
  get(nodeId: string): NodeFacts | undefined {
    return this.#known.get(nodeId)?.facts;
  }

  /**
   * Takes the word of nodes that nothing has changed, where their content is what is known here.
   * Where it is not, nothing is taken: `versions` then shows what is missing.
   */
  mergeBeats(beats: readonly Beat[], nowMs: number): void {
    for (const {nodeId, content, version, at} of beats) {
      const known = this.#known.get(nodeId)?.facts;
      if (nodeId === this.#selfId || known === undefined) continue;
      if (contentOf(known) === content) this.#take({...known, content, version, at}, nowMs);
    }
  }

  /** What is known here and not there. @param theirs undefined: nothing is known there */
  news(theirs: Versions = {}): News {
    const facts: NodeFacts[] = [];
    const beats: Beat[] = [];
    for (const each of this.all()) {
      const {nodeId, version, at} = each;
      const known = theirs[nodeId] ?? -1;
      const content = contentOf(each);
      if (known < content) facts.push(each);
      else if (known < version) beats.push({nodeId, content, version, at});
    }

    return {facts, beats};
  }

  versions(): Record<string, number> {
    return Object.fromEntries(this.all().map(({nodeId, version}) => [nodeId, version]));
  }

  /** By name. */
  all(): NodeFacts[] {
    return [...this.#known.values()]
      .map(({facts}) => facts)
      .sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** Milliseconds since the newest version came; Infinity where none ever did. */
  ageMs(nodeId: string, nowMs: number): number {
    const known = this.#known.get(nodeId);
    return known === undefined ? Infinity : Math.max(0, nowMs - known.heardMs);
  }

  /** Forgets nodes that are no members any more. */
  keep(isMember: (nodeId: string) => boolean): void {
    for (const id of this.#known.keys()) {
      if (id === this.#selfId || isMember(id)) continue;
      this.#known.delete(id);
      this.#revision += 1;
    }
  }
}

/** Since which version these facts say the same. */
export function contentOf({content, version}: NodeFacts): number {
  return Math.min(content ?? version, version);
}
