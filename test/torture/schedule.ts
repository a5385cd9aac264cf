/**
 * What is done to a cluster, and when: data that a seed makes, so that it can be printed, kept and
 * done again. Times are when a step may begin at the earliest; on a slow machine all is later, the
 * order is the same.
 */
import {createRandom, type Random} from '../sim/random.js';

/** `power`: daemon, holder and disk process at one moment. */
export type Victim = 'daemon' | 'disk' | 'holder';

export type Step = {readonly atMs: number} & Deed;

export type Deed =
  /** Between two nodes; both ways. `open` ends it. */
  | {
      readonly kind: 'link';
      readonly how: 'cut' | 'half-open' | 'slow';
      readonly pair: number;
      readonly forMs: number;
    }
  | {readonly kind: 'flap'; readonly pair: number; readonly times: number}
  | {readonly kind: 'flip'; readonly pair: number; readonly afterBytes: number}
  | {readonly kind: 'kill'; readonly node: number; readonly victim: Victim; readonly forMs: number}
  | {readonly kind: 'stop'; readonly node: number; readonly victim: Victim; readonly forMs: number}
  | {readonly kind: 'restart'; readonly node: number}
  | {readonly kind: 'rotate'}
  /** `calm`: what else goes on has ended before. */
  | {readonly kind: 'handover'; readonly to: number; readonly calm: boolean}
  /** All nodes want the role at one moment. */
  | {readonly kind: 'race'}
  /** The link is cut for a while, the primary dies, another node is forced. */
  | {readonly kind: 'force'; readonly to: number; readonly cutMs: number}
  | {readonly kind: 'leave'; readonly node: number}
  | {readonly kind: 'judge'};

/** How often each comes, in parts of the sum. */
const WEIGHTS: Readonly<Record<Deed['kind'], number>> = {
  link: 5,
  flap: 2,
  flip: 2,
  kill: 6,
  stop: 4,
  restart: 1,
  rotate: 3,
  handover: 4,
  race: 1,
  force: 1.5,
  leave: 0.7,
  judge: 0,
};
const GAP_MS_MAX = 3500;

export interface ScheduleOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly nodes: number;
  /** Between two judgements. */
  readonly judgeMs: number;
}

/** All steps of a run, in order; the last one is a judgement. */
export function makeSchedule({seed, minutes, nodes, judgeMs}: ScheduleOptions): readonly Step[] {
  const random = createRandom(seed);
  const steps: Step[] = [];
  const endMs = minutes * 60_000;
  let judgedMs = 0;
  for (let atMs = 500; atMs < endMs; atMs += 200 + Math.round(random() * GAP_MS_MAX)) {
    if (atMs - judgedMs >= judgeMs) {
      steps.push({atMs, kind: 'judge'});
      judgedMs = atMs;
    }

    steps.push({atMs, ...makeDeed(random, nodes)});
  }

  return [...steps, {atMs: endMs, kind: 'judge'}];
}

function makeDeed(random: Random, nodes: number): Deed {
  const kind = chooseKind(random);
  const some = (count: number): number => Math.floor(random() * count);
  const node = some(nodes);
  const pair = some((nodes * (nodes - 1)) / 2);
  switch (kind) {
    case 'link': {
      const how = (['cut', 'half-open', 'slow'] as const)[some(3)] ?? 'cut';
      return {kind, how, pair, forMs: 300 + some(9000)};
    }

    case 'flap':
      return {kind, pair, times: 2 + some(6)};
    case 'flip':
      return {kind, pair, afterBytes: some(200_000)};
    case 'kill':
    case 'stop': {
      const victim = (['daemon', 'disk', 'holder'] as const)[some(3)] ?? 'disk';
      return {kind, node, victim, forMs: 200 + some(kind === 'stop' ? 11_000 : 3000)};
    }

    case 'restart':
    case 'leave':
      return {kind, node};
    case 'handover':
      return {kind, to: node, calm: random() < 0.5};
    case 'force':
      return {kind, to: node, cutMs: some(3000)};
    case 'rotate':
    case 'race':
    case 'judge':
      return {kind};
  }
}

function chooseKind(random: Random): Deed['kind'] {
  const all = Object.entries(WEIGHTS) as [Deed['kind'], number][];
  let left = random() * all.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [kind, weight] of all) {
    left -= weight;
    if (left < 0) return kind;
  }

  return 'rotate';
}

/** One line for people. */
export function describeStep({atMs, kind, ...rest}: Step): string {
  const words = Object.entries(rest).map(([key, value]) => `${key}=${String(value)}`);
  return [`${(atMs / 1000).toFixed(1)} s`, kind, ...words].join(' ');
}
