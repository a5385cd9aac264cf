/** A replica of this node as a comparison looks at it (replica/image-view): asked, and answering. */
import * as v from 'valibot';
import type {Clock} from '../../core/clock.js';
import {check} from '../../core/check.js';
import type {DiskStatus} from '../../core/disk-status.js';
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {DISK_BYTES_MAX} from '../../core/limits.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {positionSchema} from '../../log/lineage.js';
import {
  answerQuestion,
  GROUP_CHUNKS,
  type Answer,
  type Question,
} from '../../replica/compare-images.js';
import {ImageView, VIEW_CHUNK_BYTES, type ViewPositions} from '../../replica/image-view.js';
import {openSourceImage} from '../../replica/source-image.js';
import {numberOf} from './replica-state.js';
import type {Replica} from './replica.js';
import {sourceStatus} from './source-status.js';

/** Of what is asked and answered below `resources/ID/digests`. */
const VERSION = 1;
/** A comparison that asks nothing for so long is over. */
const IDLE_MS = 120_000;
const SESSIONS_MAX = 8;
const ASK_TIMEOUT_MS = 90_000;

/** Whether a disk process makes its image, here or beside: what it has is not to be compared. */
export function isBeingMade({follow}: DiskStatus): boolean {
  const phase = follow?.phase;
  return follow?.next != null || phase === 'empty' || phase === 'syncing';
}

/**
 * Where image and log here are; the disk process is asked each time.
 *
 * @throws DiskError VERIFY_REFUSED where they are no state of the disk; DISK_UNREACHABLE
 */
async function viewPositions(replica: Replica): Promise<ViewPositions> {
  const {name, file} = replica.resource;
  if (!file.attached) {
    const text = `${name} is detached here: mars attach ${name} comes first`;
    throw new DiskError('RESOURCE_DETACHED', text, {resource: name});
  }

  // Never one that was asked before: replay may have gone on since.
  const status = await sourceStatus(replica, -1);
  if (isBeingMade(status) || replica.state === 'InConsistent') {
    const text = `the image of ${name} is being copied here itself`;
    throw new DiskError('VERIFY_REFUSED', text, {resource: name});
  }

  const from = numberOf(status.replayed);
  return {
    from,
    to: Math.max(numberOf(status.replayingTo), from),
    appended: numberOf(status.position),
    epoch: status.epoch ?? '',
    currentFile: status.log.currentFile,
    endChain: status.chain,
  };
}

/** A view of the replica here. @throws DiskError as ImageView.begin */
export function openView(replica: Replica, sizeBytes: number, clock: Clock): Promise<ImageView> {
  const {file, places} = replica.resource;
  const {logDirectory: directory} = places.paths;
  return ImageView.begin({
    place: {files: createNodeFiles(), directory, resourceId: file.id},
    ...{sizeBytes, clock},
    openImage: () => openSourceImage(replica.resource.file.imagePath),
    positions: () => viewPositions(replica),
  });
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const QUESTION = v.looseObject({
  version: v.number(),
  run: v.pipe(v.string(), v.maxLength(64)),
  sizeBytes: v.pipe(count, v.minValue(1), v.maxValue(DISK_BYTES_MAX)),
  unit: v.picklist(['zeros', 'chunks', 'blocks']),
  first: count,
  count: v.pipe(count, v.minValue(1)),
  at: positionSchema,
});
const HEX = /^[0-9a-f]{64}$/u;
const ANSWER = v.looseObject({
  position: positionSchema,
  chain: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/u)),
  zeros: count,
  digests: v.pipe(v.array(v.pipe(v.string(), v.regex(HEX))), v.maxLength(256)),
});

/** How a comparison on this node asks another one. @throws DiskError as PeerCaller.call; PEER_VERSION */
export type AskDigests = (question: Question) => Promise<Answer>;

/** What has to be known to ask a node. */
export interface Asked {
  readonly run: string;
  readonly sizeBytes: number;
  readonly name: string;
  readonly call: (body: unknown, timeoutMs: number) => Promise<unknown>;
}

/** Makes of what is known of a node the questions to it. */
export function askDigests({run, sizeBytes, name, call}: Asked): AskDigests {
  return async ({at, ...question}) => {
    const body = {version: VERSION, run, sizeBytes, ...question, at: formatPosition(at)};
    const said = await call(body, ASK_TIMEOUT_MS).catch((error: unknown) => {
      throw explainOld(error, name);
    });
    const {position, ...answer} = checkPeer(ANSWER, said, `${name} answered`);
    return {...answer, position: parsePosition(position) ?? 0};
  };
}

/** An older version knows nothing of such calls. */
export function explainOld(error: unknown, name: string): unknown {
  const isOld =
    error instanceof DiskError && (error.code === 'USAGE' || error.details['code'] === 'USAGE');
  if (!isOld) return error;
  const text = `the daemon of ${name} is of a version that cannot compare replicas: upgrade it first`;
  return new DiskError('PEER_VERSION', text, {node: name});
}

/** @throws DiskError PEER_PROTOCOL */
export function checkPeer<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  who: string,
): v.InferOutput<S> {
  try {
    return check(schema, value);
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    throw new DiskError('PEER_PROTOCOL', `${who} what is not valid: ${fault}`);
  }
}

interface Session {
  readonly view: ImageView;
  timer: NodeJS.Timeout;
  queue: Promise<unknown>;
}

/** Answers comparisons of other nodes with the replica here: one view for each of them. */
export class DigestService {
  readonly #replica: Replica;
  readonly #clock: Clock;
  readonly #sessions = new Map<string, Session>();

  constructor(replica: Replica, clock: Clock) {
    this.#replica = replica;
    this.#clock = clock;
  }

  /**
   * Answers `POST resources/ID/digests`.
   *
   * @throws DiskError PEER_PROTOCOL, PEER_VERSION, PEER_REFUSED, and as answerQuestion
   */
  async answer(callerId: string, body: unknown): Promise<object> {
    const {version, run, at, sizeBytes, ...question} = checkPeer(QUESTION, body, 'a peer asked');
    if (version !== VERSION) {
      const text = `digests are answered in version ${VERSION}, asked was ${version}`;
      throw new DiskError('PEER_VERSION', text, {version});
    }

    const limit =
      question.unit === 'zeros' ? Infinity : question.unit === 'blocks' ? 1 : GROUP_CHUNKS;
    const {first, count: asked} = question;
    if (asked > limit || (first + asked - 1) * VIEW_CHUNK_BYTES >= sizeBytes) {
      throw new DiskError('PEER_PROTOCOL', `a question about ${asked} chunks from ${first} on`);
    }

    const key = `${callerId} ${run}`;
    const session = this.#sessions.get(key) ?? (await this.#begin(key, sizeBytes));
    session.timer.refresh();
    // One at a time: who gave up waiting may ask again.
    const work = session.queue.then(() =>
      answerQuestion(session.view, {...question, at: parsePosition(at) ?? 0}),
    );
    session.queue = work.catch(() => undefined);
    try {
      const {position, ...answer} = await work;
      return {...answer, position: formatPosition(position)};
    } catch (error) {
      // What it knows of the log may not hold any more.
      this.#end(key, session);
      throw error;
    }
  }

  close(): void {
    for (const [key, session] of this.#sessions) this.#end(key, session);
  }

  async #begin(key: string, sizeBytes: number): Promise<Session> {
    const [oldest] = this.#sessions;
    if (oldest !== undefined && this.#sessions.size >= SESSIONS_MAX) this.#end(...oldest);
    const view = await openView(this.#replica, sizeBytes, this.#clock);
    const timer = setTimeout(() => {
      this.#end(key, session);
    }, IDLE_MS);
    timer.unref();
    const session: Session = {view, timer, queue: Promise.resolve()};
    const before = this.#sessions.get(key);
    if (before !== undefined) this.#end(key, before);
    this.#sessions.set(key, session);
    return session;
  }

  #end(key: string, session: Session): void {
    clearTimeout(session.timer);
    if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    // Never under an answer that is being made.
    void session.queue.then(() => {
      session.view.close();
    });
  }
}
