/**
 * H8, H24: a primary in a synchronous mode and its followers, each on a disk of its own that loses
 * power, in an order that a seed draws. What was acknowledged, and not announced as degraded, is on
 * as many replicas as the mode asks for when the primary is gone.
 */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ModeSettings} from '../../src/core/mode.js';
import {WORD} from '../../src/disk/shared.js';
import {PENDING} from '../../src/fuse/handler.js';
import {diskAt, FollowRig, recordsOf, type SourceRecord} from '../disk/follow-rig.js';
import {ModeRig} from '../disk/mode-rig.js';
import {createRandom, type Random} from './random.js';

const SEEDS = Number(process.env['SEEDS'] ?? '8');
const STEPS = 120;
const WRITES_MAX = 70;

interface Flush {
  readonly unique: number;
  readonly target: number;
}

/** One run: a primary, its followers, and what flushes have promised. */
class FailoverWorld {
  readonly primary: ModeRig;
  readonly followers: readonly FollowRig[];
  readonly settings: ModeSettings;
  readonly #random: Random;
  #waiting: Flush[] = [];
  /** Acknowledged, in whatever way. */
  #answered: number[] = [];
  /** Everything below must survive. */
  promised = 0;
  degrades = 0;
  #writes = 0;
  #records: readonly SourceRecord[] = [];

  constructor(seed: number, mode: ModeSettings['mode'], followers: number) {
    this.#random = createRandom(seed);
    const syncReplicas = 1 + this.#below(followers);
    this.settings = {mode, syncReplicas, degradeAfterSeconds: 2};
    this.primary = new ModeRig(this.settings, {seed});
    this.primary.life.shared.set(WORD.replayPaused, 1);
    this.followers = Array.from(
      {length: followers},
      (_, at) => new FollowRig(this.primary, seed * 10 + at),
    );
  }

  run(): void {
    for (let step = 0; step < STEPS; step += 1) {
      this.#act();
      this.#look();
    }
  }

  /** The primary is gone, and in mode sync all replicas lose power as well. */
  fail(): void {
    const records = this.#log();
    const ends = this.followers.map((follower) => {
      if (this.settings.mode === 'sync') follower.crash('random');
      else follower.kill();
      const {position} = follower.log;
      follower.log.noteOriginDurable(position);
      follower.settle();
      // What a forced promotion begins with: all valid records, tentative or not.
      const wanted = diskAt(records, position, follower.sizeBytes);
      if (position > 0) assert.ok(follower.image().equals(wanted), `the disk at ${position}`);
      return position;
    });
    const enough = ends.filter((end) => end >= this.promised).length;
    assert.ok(
      enough >= this.settings.syncReplicas,
      `${this.promised} was acknowledged, replicas end at ${ends.join()}`,
    );
  }

  #act(): void {
    const {primary} = this;
    switch (this.#below(8)) {
      case 0:
      case 1: {
        if (this.#writes >= WRITES_MAX) return;
        this.#writes += 1;
        primary.write(this.#below(200) * 4096, 4096 * (1 + this.#below(2)));
        primary.keep();
        return;
      }

      case 2: {
        const [result, unique] = primary.flush();
        const target = primary.end;
        if (result !== PENDING) this.#noteAnswered(target);
        else this.#waiting.push({unique, target});
        primary.mode.flushWaits();
        if (this.#below(2) === 0) primary.settle();
        return;
      }

      case 3:
      case 4: {
        const records = this.#log();
        const follower = this.#one();
        const next = records.filter(({end}) => end > follower.log.position);
        follower.feed(records, next[this.#below(6)]?.end ?? Infinity, 2);
        follower.work();
        return;
      }

      case 5: {
        this.#one().committer.commit();
        return;
      }

      case 6: {
        const follower = this.#one();
        const at = this.followers.indexOf(follower);
        const {durable} = follower.shared;
        primary.confirm(`node-${at}`, follower.log.position, durable.get());
        return;
      }

      default: {
        primary.wait(100 * (1 + this.#below(6)));
        return;
      }
    }
  }

  /** Who was answered, and what that promises. */
  #look(): void {
    const {answers} = this.primary;
    const done = this.#waiting.filter(({unique}) => answers.has(unique));
    this.#waiting = this.#waiting.filter(({unique}) => !answers.has(unique));
    for (const {unique, target} of done) {
      assert.is(answers.get(unique), 0);
      this.#noteAnswered(target);
    }

    // Restored: nothing that was answered before is without replicas any more.
    if (this.primary.degradedOnDisk === null) this.promised = Math.max(0, ...this.#answered);
    else this.degrades += 1;
  }

  #noteAnswered(target: number): void {
    this.#answered.push(target);
  }

  /** All records of the primary, read again when there are more. */
  #log(): readonly SourceRecord[] {
    if (this.#records.at(-1)?.end !== this.primary.end) this.#records = recordsOf(this.primary);
    return this.#records;
  }

  #one(): FollowRig {
    const one = this.followers[this.#below(this.followers.length)];
    assert.ok(one !== undefined);
    return one;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

for (const mode of ['near-sync', 'sync'] as const) {
  test(`${mode}: what was acknowledged is with the replicas, for ${SEEDS} seeds`, () => {
    let [promises, degrades] = [0, 0];
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const world = new FailoverWorld(seed, mode, 1 + (seed % 3));
      try {
        world.run();
        world.fail();
      } catch (error) {
        process.stdout.write(`\nseed ${seed}, mode ${mode}\n`);
        throw error;
      }

      promises += world.promised > 0 ? 1 : 0;
      degrades += world.degrades > 0 ? 1 : 0;
    }

    assert.ok(promises > SEEDS / 3, `${promises} runs promised something`);
    assert.ok(degrades > SEEDS / 10, `${degrades} runs were degraded`);
  });
}

test.run();
