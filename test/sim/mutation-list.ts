/** The deliberate bugs of mutations.ts: one text of one source file becomes another. */
export interface Mutation {
  readonly name: string;
  /** What is broken, and by which hazard it would be named. */
  readonly what: string;
  /** Below src/. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** One that found it, when the list was last hunted through. */
  readonly seed?: number;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'commit-without-sync',
    what: 'flushes are answered without fdatasync',
    file: 'disk/committer.ts',
    find: 'this.#files.syncData(fd);',
    replace: '',
  },
  {
    name: 'word-before-sync',
    what: 'the node says that its log is durable before it is: a torn tail is refused (H1)',
    file: 'disk/committer.ts',
    find: 'if (target > durable && !this.#sync(durable, target)) return false;',
    replace:
      'if (target > durable) this.#word.say(target);\n    if (target > durable && !this.#sync(durable, target)) return false;',
  },
  {
    name: 'word-not-said',
    what: 'nobody says how far the log is durable: rot in the last commit is cut (H1)',
    file: 'disk/committer.ts',
    find: 'if (target > durable) this.#word.say(target);',
    replace: '',
  },
  {
    name: 'word-not-heard',
    what: 'recovery does not take the word of the node for proof (H1)',
    file: 'log/recovery.ts',
    find: 'input.durable ?? 0',
    replace: '0',
  },
  {
    name: 'flush-is-a-lie',
    what: 'a flush is answered at once',
    file: 'disk/front.ts',
    find: 'if (this.#shared.durable.get() >= this.log.position) return 0;',
    replace: 'return 0;',
  },
  {
    name: 'acknowledge-before-append',
    what: 'a write without room is acknowledged instead of parked',
    file: 'disk/front.ts',
    find: 'if (!this.#makeRoom(storedLength)) return this.#refusal();',
    replace: 'if (!this.#makeRoom(storedLength)) return 0;',
  },
  {
    name: 'durable-writes-at-once',
    what: 'durability `write` is acknowledged before it is durable',
    file: 'disk/front.ts',
    find: 'return this.#durableWrites ? this.#awaitDurable(uniqueLow, uniqueHigh, length) : 0;',
    replace: 'return 0;',
  },
  {
    name: 'batch-index-forgets-the-last',
    what: 'the last write of a batch is not entered in the index',
    file: 'disk/front.ts',
    find: 'for (let at = 0; at < count; at += 1) {\n      const block',
    replace: 'for (let at = 0; at < count - 1; at += 1) {\n      const block',
  },
  {
    name: 'batch-chain-not-restored',
    what: 'the chain goes on behind a batch that was not written',
    file: 'log/writer.ts',
    find: 'this.#writePages(bytes, first, position - this.#position);\n    } catch (error) {\n      this.#chain.low = low;',
    replace: 'this.#writePages(bytes, first, position - this.#position);\n    } catch (error) {',
  },
  {
    name: 'image-without-sync',
    what: 'replay publishes without fdatasync of the image',
    file: 'image/replay.ts',
    find: 'this.#apply();\n    this.#files.syncData(this.#imageFd);',
    replace: 'this.#apply();',
  },
  {
    name: 'batch-not-announced',
    what: 'the image is changed before {from, to} is durable (H2)',
    file: 'image/replay.ts',
    find: '    this.#persist(from);\n',
    replace: '',
  },
  {
    name: 'publish-before-apply',
    what: 'replayed is published before the image is written',
    file: 'image/replay.ts',
    find: 'this.#host.publish(from, this.#to);\n    this.#apply();',
    replace: 'this.#host.publish(to, this.#to);\n    this.#apply();',
  },
  {
    name: 'image-before-log',
    what: 'records that are not durable reach the image (H2)',
    file: 'image/replay.ts',
    find: 'const limit = this.#host.durable();',
    replace: 'const limit = this.#host.appended();',
  },
  {
    name: 'failed-image-sync-ignored',
    what: 'EIO of the image: the batch counts as written (H19)',
    file: 'image/replay.ts',
    find: 'this.#apply();\n    this.#files.syncData(this.#imageFd);',
    replace: 'this.#apply();\n    try {\n this.#files.syncData(this.#imageFd);\n } catch {}',
  },
  {
    name: 'writes-over-later-zeros',
    what: 'a write comes back after the discard behind it',
    file: 'image/batch.ts',
    find: 'if (this.#zeros.count > 0 && this.#zeros.find(block) > ordinal) continue;',
    replace: '',
  },
  {
    name: 'oldest-copy-wins',
    what: 'replay writes the first copy of a block instead of the last',
    file: 'image/batch.ts',
    find: 'const next = keys[index + 1];',
    replace: 'const next = keys[index - 1];',
  },
  {
    name: 'discard-not-indexed',
    what: 'reads after a discard show the old data',
    file: 'disk/front.ts',
    find: 'this.#disk.index.putZero(firstWhole / BLOCK_BYTES, endWhole / BLOCK_BYTES, position);',
    replace: '',
  },
  {
    name: 'discard-not-recovered',
    what: 'a discard is not entered in the index after a restart',
    file: 'disk/index-record.ts',
    find: 'index.putZero(block, block + record.logicalLength / BLOCK_BYTES, cursor.payloadPosition);',
    replace: '',
  },
  {
    name: 'ragged-head-is-zero',
    what: 'a write inside a block zeroes what lies before it',
    file: 'disk/front.ts',
    find: 'readBlocks(files, this.#disk, this.log, head, headSkip, request, start) !== 0',
    replace: 'request.fill(0, start, start + headSkip) === undefined',
  },
  {
    name: 'ragged-tail-is-stale',
    what: 'a write inside a block leaves foreign bytes behind it',
    file: 'disk/front.ts',
    find: 'readBlocks(files, this.#disk, this.log, end, tailSkip, request, behind) !== 0',
    replace: 'behind < 0',
  },
  {
    name: 'oldest-segment-first',
    what: 'reads look at the oldest segment first',
    file: 'image/block-index.ts',
    find: 'for (let index = this.#segments.length - 1; index >= 0; index -= 1) {',
    replace: 'for (let index = 0; index < this.#segments.length; index += 1) {',
  },
  {
    name: 'replayed-not-seen',
    what: 'reads go on to trust entries of segments that were recycled',
    file: 'disk/front.ts',
    find: 'this.#disk.index.setReplayed(replayed);',
    replace: '',
  },
  {
    name: 'parked-buffer-shared',
    what: 'a parked write keeps the request buffer, which is used again',
    file: 'disk/parking.ts',
    find: 'const bytes = Buffer.alloc(WRITE_HEADROOM_BYTES + length + WRITE_TAILROOM_BYTES);\n    request.copy(bytes, WRITE_HEADROOM_BYTES, payloadOffset, payloadOffset + length);',
    replace: 'const bytes = request;\n    void payloadOffset;\n    void WRITE_TAILROOM_BYTES;',
  },
  {
    name: 'recycle-too-early',
    what: 'a segment is used again before it is in the image',
    file: 'disk/keeper.ts',
    find: 'if (end > shared.replayed.get()) return false;',
    replace: '',
  },
  {
    name: 'recycle-the-last-proof',
    what: 'a segment is used again while the header behind it is not durable',
    file: 'disk/keeper.ts',
    find: 'if (end >= shared.durable.get()) return false;',
    replace: '',
  },
  {
    name: 'segment-name-not-synced',
    what: 'records go to a segment whose name is not durable (H11)',
    file: 'log/segment-files.ts',
    find: 'files.rename(sparePath, path);\n  files.syncDirectory(plan.directory);',
    replace: 'files.rename(sparePath, path);',
  },
  {
    name: 'trust-the-cache',
    what: 'a second life does not make durable what it took over (H3)',
    file: 'disk/settle-tail.ts',
    find: '    rewriteTail(files, recovered);\n',
    replace: '',
  },
  {
    name: 'rewrite-without-sync',
    what: 'what was taken over is written again but not synced (H3)',
    file: 'disk/settle-tail.ts',
    find: '      files.sync(fd);\n',
    replace: '',
  },
  {
    name: 'cut-tail-left',
    what: 'files behind the cut keep their names and come back',
    file: 'disk/activation.ts',
    find: '  setSparesAside(files, plan, recovered);\n',
    replace: '',
  },
  {
    name: 'gap-is-damage',
    what: 'a torn tail with valid records behind it is refused (H1)',
    file: 'log/recovery.ts',
    find: 'const proven = Math.max(input.to, input.durable ?? 0, evidence.durable, walk.durable);',
    replace:
      'const proven = Math.max(input.to, input.durable ?? 0, evidence.durable, walk.durable, evidence.count > 0 ? walk.position + 1 : 0);',
  },
  {
    name: 'payload-not-checked',
    what: 'a record with a torn payload is believed',
    file: 'log/cursor.ts',
    find: 'if (crcOf(this.#bytes, payloadOffset, record.storedLength) !== record.payloadCrc) return false;',
    replace: '',
  },
  {
    name: 'size-not-recovered',
    what: 'a resize is forgotten by a restart',
    file: 'log/recovery.ts',
    find: 'walk.diskSizeBytes = cursor.record.diskOffset;',
    replace: 'walk.diskSizeBytes += 0;',
  },
  {
    name: 'failed-sync-forgotten',
    what: 'after EIO of fdatasync the commit goes on as if nothing was (H19)',
    file: 'disk/front.ts',
    find: 'const moved = this.log.moveTail();',
    replace: 'const moved = true;',
  },
  {
    name: 'failed-sync-repeated',
    what: 'after EIO of fdatasync another fdatasync is believed (H19)',
    file: 'disk/committer.ts',
    find: 'shared.set(WORD.commitFailed, ordinal + 1);',
    replace: '',
  },
  {
    name: 'headers-before-records',
    what: 'a moved tail counts before it is complete',
    file: 'disk/move-tail.ts',
    find: 'moved.push({fd, header, part});',
    replace:
      'moved.push({fd, header, part});\n      files.write(fd, encodeSegmentHeader(header), 0, SEGMENT_HEADER_BYTES, 0);',
  },
  {
    name: 'state-slot-not-resynced',
    what: 'a state that was only in the cache is taken for durable (H3)',
    file: 'core/two-slot.ts',
    find: '    files.write(fd, bytes, offset, SLOT_BYTES, offset);\n    files.syncData(fd);\n',
    replace: '',
  },
  {
    name: 'append-keeps-broken-chain',
    what: 'after a failed write the chain has moved on',
    file: 'log/writer.ts',
    find: '      this.#chain.low = low;\n      this.#chain.high = high;\n      throw error;',
    replace: '      throw error;',
  },
  {
    name: 'epoch-not-synced',
    what: 'the first segment of an epoch is not durable before requests are answered',
    file: 'disk/activation.ts',
    find: '  writer.beginSegment(fd, header);\n  files.sync(fd);',
    replace: '  writer.beginSegment(fd, header);',
  },
];
