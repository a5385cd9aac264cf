/**
 * Judges nodes by the one history (pair-history). What must hold, always:
 *
 *   - a record on any node is the one that its origin wrote there, and lies on the node's lineage
 *   - an image at rest is the disk at the position that it claims
 *   - nothing that the origin could still lose is in any image
 *   - no position goes back, but by a cut that was announced, or by death above what was durable
 *   - what was flushed is served, but after a failover by force
 *   - an answer to a follower is the one that follows from what both have
 */
import {formatPosition} from '../../src/core/position.js';
import {WORD} from '../../src/disk/shared.js';
import {RecordCursor} from '../../src/log/cursor.js';
import {readLogDirectory} from '../../src/log/directory.js';
import type {Answer, Hello} from '../../src/log/frames.js';
import {crcOf, RECORD_HEADER_BYTES, type Chain} from '../../src/log/record.js';
import {withoutSuperseded} from '../../src/log/recovery.js';
import {MIB} from '../../src/core/units.js';
import {SimFailure} from './oracle.js';
import {commonEnd, History, kindOf, numberOf, pathOf, type PathPiece} from './pair-history.js';
import type {PairNode} from './pair-node.js';
import {PairPromises} from './pair-promises.js';
import type {Death} from './script.js';

interface NodeState {
  readonly cursor: RecordCursor;
  /** The records below are those of the history; `chain` is the value there. */
  verified: number;
  chain: Chain | undefined;
  position: number;
  durable: number;
  replayed: number;
  to: number;
  /** The lowest position of a cut that was announced. */
  cutTo: number;
  /** Where its log was cut, until something arrives again. */
  cutAt: number | undefined;
  /** Where its log began when the node joined, and the history that its image was copied from. */
  logBegin: number;
  copyPath: readonly PathPiece[];
  image: Buffer;
  imagePath: PathPiece[];
  imagePosition: number;
}

export class PairJudge {
  readonly history = new History();
  readonly promises = new PairPromises();
  readonly #nodes: readonly PairNode[];
  readonly #sizeBytes: number;
  readonly #states = new Map<PairNode, NodeState>();
  readonly #wanted: Buffer;
  readonly #found: Buffer;

  constructor(nodes: readonly PairNode[], sizeBytes: number) {
    this.#wanted = Buffer.alloc(sizeBytes);
    this.#found = Buffer.alloc(sizeBytes);
    this.#nodes = nodes;
    this.#sizeBytes = sizeBytes;
    for (const node of nodes) this.joined(node, 0);
  }

  /** Nothing of what the node had counts any more: its image was copied, its log begins here. */
  joined(node: PairNode, begin: number, copyPath: readonly PathPiece[] = []): void {
    this.promises.forget(node);
    this.#states.set(node, {
      cursor: new RecordCursor(node.peek),
      verified: begin,
      chain: undefined,
      position: begin,
      durable: begin,
      replayed: begin,
      to: begin,
      cutTo: Infinity,
      cutAt: undefined,
      logBegin: begin,
      copyPath,
      image: Buffer.alloc(this.#sizeBytes),
      imagePath: [],
      imagePosition: 0,
    });
  }

  /** Last known `replayed`. */
  replayedOf(node: PairNode): number {
    return this.#state(node).replayed;
  }

  /** Takes in what was written since, origins first. */
  harvest(): void {
    const up = this.#nodes.filter(({serve, follow}) => (serve ?? follow) !== undefined);
    for (const node of up.filter(({serve}) => serve !== undefined)) this.#walk(node);
    for (const node of up.filter(({follow}) => follow !== undefined)) this.#walk(node);
  }

  /** After every step. */
  check(): void {
    this.harvest();
    for (const node of this.#nodes) if (node.isUp) this.#checkNode(node);
  }

  /** Replay is about to change an image. */
  checkReplay(node: PairNode): void {
    for (const {serve} of this.#nodes) {
      if (serve === undefined || !this.history.knows(serve.disk.epoch)) continue;
      this.history.noteDurable(serve.disk.epoch, serve.shared.durable.get());
    }

    const to = node.shared.replayTo.get();
    const last = pathOf(node.lineage, to).at(-1);
    if (last === undefined || to <= this.#state(node).to) return;
    this.harvest();
    const durable = this.history.durableOf(last.epoch);
    if (to <= durable) return;
    throw new SimFailure(
      `the image of ${node.name} gets blocks up to ${formatPosition(to)}, but the origin ` +
        `has ${formatPosition(durable)} durable`,
    );
  }

  /** A node lives again: what it had must be there. */
  began(node: PairNode, death: Death, byForce: boolean): number {
    const state = this.#state(node);
    const {serve} = node;
    const position = serve === undefined ? node.position : serve.disk.epochStart;
    const least = death === 'kill' ? state.position : state.durable;
    if (position < Math.min(least, state.cutTo)) {
      throw new SimFailure(
        `${node.name} had ${formatPosition(least)}, and comes back with ` +
          formatPosition(position),
      );
    }

    const from = node.shared.replayed.get();
    if (from < state.replayed) {
      throw new SimFailure(`${node.name} had replayed ${state.replayed}, and now ${from}`);
    }

    const {cutAt} = state;
    if (cutAt !== undefined && position > cutAt && serve === undefined) {
      throw new SimFailure(
        `${node.name} has cut its log to ${formatPosition(cutAt)}, and comes back with ` +
          formatPosition(position),
      );
    }

    if (serve !== undefined) state.cutAt = undefined;
    Object.assign(state, {verified: 0, chain: undefined, position, durable: position});
    if (death === 'power') this.promises.forget(node, Math.max(position, least));
    this.#walkTo(node, position);
    for (const piece of pathOf(node.lineage, position)) {
      if (piece.node === node.id) this.history.noteDurable(piece.epoch, piece.end);
    }

    if (serve === undefined) return 0;
    if (this.history.knows(serve.disk.epoch)) {
      throw new SimFailure(`${node.name} goes on in an epoch that has begun before`);
    }

    this.history.begin(node.lineage);
    const lost = this.history.judgePromises(node.lineage, position, byForce);
    if (byForce) this.promises.judge(node, pathOf(node.lineage, position));
    this.#compareFront(node);
    return lost;
  }

  /** What a follower was answered, against what both have. */
  judgeAnswer(source: PairNode, follower: PairNode, hello: Hello, answer: Answer): void {
    this.harvest();
    const state = this.#state(follower);
    const [end, to] = [numberOf(hello.position), numberOf(hello.to)];
    const ours = pathOf(source.lineage, source.position);
    const theirs = pathOf(hello.lineage, end);
    const common = commonEnd(ours, theirs);
    const imageEnd = Math.max(common, commonEnd(ours, state.copyPath));
    const own = theirs.filter((piece) => piece.node === follower.id).at(-1)?.end ?? 0;
    // Records of a third node that the source never had: they may be nowhere else.
    const isUnknown = theirs.some(
      ({epoch, end: last}) =>
        last > common && !source.lineage.some((known) => known.epoch === epoch),
    );
    const at = numberOf(answer.position ?? formatPosition(0));
    const hasMore = source.position > common;
    const hasOther = source.lineage.some(
      ({epoch}) => !hello.lineage.some((known) => known.epoch === epoch),
    );
    const isRight = {
      follow: at === end && common === end,
      cut: at <= common && at >= to && own <= at,
      forked: (hasMore || hasOther) && (own > common || to > imageEnd || isUnknown),
      behind: !hasMore || to > source.position,
      gone: !hasMore || this.#state(source).logBegin > Math.min(common, end),
      unknown: false,
      refused: false,
    }[answer.kind];
    // Both have records that the other one lacks: that is to be told, and at once.
    const isFork = own > common && hasMore && hasOther;
    if (!isRight || (isFork && answer.kind !== 'forked' && answer.kind !== 'gone')) {
      throw new SimFailure(
        `${follower.name} at ${formatPosition(end)} (own to ${formatPosition(own)}, image to ` +
          `${formatPosition(to)}) is answered ${answer.kind} ${answer.position ?? ''} by ` +
          `${source.name} at ${formatPosition(source.position)}; common: ${formatPosition(common)}`,
      );
    }

    const begin = this.#state(follower).logBegin;
    if (end > begin && hello.chain !== this.history.chainAt(theirs)) {
      throw new SimFailure(`${follower.name} has a chain value that nobody had`);
    }

    state.cutTo = answer.kind === 'cut' ? Math.min(at, state.cutTo) : Infinity;
  }

  /** A follower has given up what lies behind `position`. */
  cutDone(node: PairNode, position: number): void {
    const state = this.#state(node);
    if (position < state.cutTo) throw new SimFailure(`${node.name} has cut below what it was told`);
    state.position = Math.min(state.position, position);
    state.durable = Math.min(state.durable, position);
    state.cutTo = Infinity;
    state.cutAt = position;
    this.promises.forget(node, position);
    if (state.verified > position) Object.assign(state, {verified: 0, chain: undefined});
  }

  /** Something arrives, and may be written. */
  delivered(node: PairNode): void {
    this.#state(node).cutAt = undefined;
  }

  noteAck(node: PairNode, durable: number): void {
    const state = this.#state(node);
    state.durable = Math.max(state.durable, durable);
  }

  /** At rest: all nodes have one image and one history. */
  auditAll(): void {
    const images = this.#nodes.map((node) => this.#audit(node));
    const [first] = images;
    if (images.some((image) => first?.equals(image) !== true)) {
      throw new SimFailure('images differ');
    }

    const chains = this.#nodes.map(({lineage, position}) =>
      this.history.chainAt(pathOf(lineage, position)),
    );
    if (new Set(chains).size > 1) throw new SimFailure('chain values differ');
  }

  /** The whole log once more, and the image; all is replayed. */
  #audit(node: PairNode): Buffer {
    const state = this.#state(node);
    Object.assign(state, {verified: 0, chain: undefined});
    this.#walk(node);
    state.imagePath = [];
    const position = node.shared.replayed.get();
    this.#compareImage(node, state, position);
    return state.image;
  }

  #checkNode(node: PairNode): void {
    const state = this.#state(node);
    const {shared} = node;
    const [durable, replayed, to] = [
      shared.durable.get(),
      shared.replayed.get(),
      shared.replayTo.get(),
    ];
    const facts = `${node.name}: replayed ${replayed} to ${to}, durable ${durable}`;
    if (replayed > to || durable > shared.appended.get()) {
      throw new SimFailure(`positions are out of order: ${facts}`);
    }

    if (replayed < state.replayed || to < state.to) {
      throw new SimFailure(`the image went back: ${facts}`);
    }

    const {position} = node;
    if (position < state.position) {
      throw new SimFailure(
        `the log of ${node.name} went back from ${state.position} to ${position}`,
      );
    }

    const isDefective = shared.get(WORD.logDefective) !== 0;
    if (!isDefective && durable < state.durable) {
      throw new SimFailure(`told ${state.durable} durable: ${facts}`);
    }

    Object.assign(state, {position, durable: Math.max(durable, state.durable), to});
    if (replayed === to && replayed !== state.imagePosition) {
      this.#compareImage(node, state, replayed);
    }

    state.replayed = replayed;
  }

  #compareImage(node: PairNode, state: NodeState, position: number): void {
    const path = pathOf(node.lineage, position);
    const known = commonEnd(path, state.imagePath);
    if (state.imagePath.length === 0 || known < state.imagePosition) {
      state.image.fill(0);
      state.imagePosition = 0;
    }

    this.history.apply(state.image, path, state.imagePosition, position);
    state.imagePath = path;
    state.imagePosition = position;
    const found = node.disk.peek(node.paths.image, 0, this.#sizeBytes, false, this.#found);
    this.#compare(node, state.image, found, `image at ${formatPosition(position)}`);
  }

  #compareFront(node: PairNode): void {
    const life = node.serve;
    if (life === undefined) return;
    const wanted = this.#wanted.fill(0);
    const position = life.disk.epochStart;
    this.history.apply(wanted, pathOf(node.lineage, position), 0, position);
    const found = this.#found.fill(0xcc);
    let errno = 0;
    // Nobody writes meanwhile.
    node.act('front', () => {
      for (let at = 0; at < found.length; at += MIB) {
        errno ||= life.front.read(at, MIB, found, at);
      }
    });
    // A read that fails is no lie; the simulator of one node looks at those.
    if (errno !== 0 || !node.isUp) return;
    this.#compare(node, wanted, found, `disk at ${formatPosition(position)}`);
  }

  #compare(node: PairNode, wanted: Buffer, found: Buffer, what: string): void {
    if (found.equals(wanted)) return;
    const at = wanted.findIndex((byte, index) => byte !== found[index]);
    const sector = at - (at % 512);
    throw new SimFailure(
      `${node.name}: byte ${at} of the ${what} is wrong: write ${wanted.readUInt32LE(sector)} ` +
        `expected, ${found.readUInt32LE(sector)} found`,
    );
  }

  #walk(node: PairNode): void {
    const {serve} = node;
    if (serve !== undefined) {
      if (!this.history.knows(serve.disk.epoch)) return;
      this.history.noteDurable(serve.disk.epoch, serve.shared.durable.get());
    }

    this.#walkTo(node, node.position);
  }

  /** Meets each record of a log between what was verified and `limit`. */
  #walkTo(node: PairNode, limit: number): void {
    const state = this.#state(node);
    if (limit < state.verified) Object.assign(state, {verified: 0, chain: undefined});
    if (limit === state.verified && state.chain !== undefined) return;
    const {paths, config, peek} = node;
    const listing = readLogDirectory(peek, paths.logDirectory, config.resource.id);
    const {effective} = withoutSuperseded(listing.segments);
    const path = pathOf(node.lineage, limit);
    for (const [at, {header, path: file}] of effective.entries()) {
      const end = effective[at + 1]?.header.start ?? Infinity;
      if (end <= state.verified || header.start > limit) continue;
      const isInside = state.chain !== undefined && header.start <= state.verified;
      const position = isInside ? state.verified : header.start;
      const chain = isInside ? (state.chain ?? header.chain) : header.chain;
      if (at > 0 && position > state.verified && state.verified > 0) {
        throw new SimFailure(`${node.name}: a hole in the log at ${state.verified}`);
      }

      const fd = peek.open(file);
      const last = Math.min(end, limit, header.start + header.capacityBytes);
      state.cursor.open(fd, header, position, chain, last);
      state.verified = position;
      while (state.cursor.next()) this.#meet(node, state, header.epoch, path);
      state.chain = {low: state.cursor.chain.low, high: state.cursor.chain.high};
      peek.close(fd);
    }

    const isBad = node.serve?.shared.get(WORD.logDefective) === 1;
    if (state.verified < limit && limit > state.logBegin && !isBad) {
      throw new SimFailure(
        `${node.name}: the log ends at ${formatPosition(state.verified)}, not at ` +
          formatPosition(limit),
      );
    }
  }

  #meet(node: PairNode, state: NodeState, epoch: string, path: readonly PathPiece[]): void {
    const {cursor, verified: position} = state;
    const end = cursor.position;
    const piece = path.find((one) => one.start <= position && position < one.end);
    if (piece?.epoch !== epoch) {
      throw new SimFailure(
        `${node.name} has a record of ${epoch.slice(0, 8)} at ${formatPosition(position)}, where ` +
          `its lineage has ${piece?.epoch.slice(0, 8) ?? 'nothing'}`,
      );
    }

    const {record, payloadOffset} = cursor;
    const start = payloadOffset - RECORD_HEADER_BYTES;
    const isNew = this.history.at(epoch, position) === undefined;
    const kind = kindOf(record.type);
    this.history.meet(epoch, node.id, {
      position,
      end,
      crc: crcOf(cursor.bytes, start, end - position),
      kind,
      offset: record.diskOffset,
      length: record.logicalLength,
      payload:
        isNew && kind === 'write'
          ? Buffer.from(cursor.bytes.subarray(payloadOffset, payloadOffset + record.storedLength))
          : undefined,
      chain: {low: cursor.chain.low, high: cursor.chain.high},
    });
    state.verified = end;
  }

  #state(node: PairNode): NodeState {
    const state = this.#states.get(node);
    if (state === undefined) throw new SimFailure(`nobody knows ${node.name}`);
    return state;
  }
}
