/**
 * A script: what one run of the simulator does, as data. It is drawn from a seed, can be kept as
 * a JSON file, and can be shrunk: every operation carries the seed of its own chance, so that
 * leaving one out does not change the others.
 */
import {KIB, MIB, TIB} from '../../src/core/units.js';
import {below, chance, createRandom, pick, pickWeighted} from './random.js';
import type {Random} from './random.js';
import {isBypassing} from './room.js';
import type {SimCall, SimFaultKind} from './sim-faults.js';

export interface ScriptConfig {
  readonly sizeBytes: number;
  readonly segmentBytes: number;
  readonly alignmentBytes: number;
  readonly durability: 'flush' | 'write';
  /** Space of the disk; 0: unlimited. */
  readonly capacityBytes: number;
  /** Chance that another actor runs in the middle of a call. */
  readonly interleaving: number;
  /** Log in one batch at most. */
  readonly batchBytes: number;
}

/** `kill`: the process dies. `power`: the machine. */
export type Death = 'kill' | 'power';

export type Action =
  | {readonly kind: 'write'; readonly offset: number; readonly length: number}
  /** So many writes of whole blocks near `offset`, which come together. */
  | {readonly kind: 'burst'; readonly offset: number; readonly count: number}
  | {readonly kind: 'read'; readonly offset: number; readonly length: number}
  | {readonly kind: 'discard'; readonly offset: number; readonly length: number}
  | {readonly kind: 'zero'; readonly offset: number; readonly length: number}
  | {readonly kind: 'flush' | 'rotate' | 'pause' | 'resume' | 'evict' | 'compare' | 'restart'}
  | {readonly kind: 'resize'; readonly sizeBytes: number}
  | {readonly kind: 'step'; readonly actor: ActorName; readonly count: number}
  | {readonly kind: 'wait'; readonly milliseconds: number}
  /** `rot`: and while nobody looks, a bit of the log flips. */
  | {readonly kind: 'die' | 'rot'; readonly death: Death}
  /** Arms the countdown: death in the n-th call from here. */
  | {readonly kind: 'doom'; readonly death: Death; readonly calls: number}
  | {
      readonly kind: 'fault';
      readonly path: string;
      readonly calls: readonly SimCall[];
      readonly fault: SimFaultKind;
      readonly after: number;
      readonly count: number;
    }
  | {readonly kind: 'heal'};

export type ActorName = 'commit' | 'replay' | 'keeper';

export interface Step {
  /** Seed of all chance within this step. */
  readonly seed: number;
  readonly action: Action;
}

export interface Script {
  readonly seed: number;
  readonly config: ScriptConfig;
  readonly steps: readonly Step[];
}

export function drawScript(seed: number): Script {
  const random = createRandom(seed);
  const config = drawConfig(random);
  const profile = drawProfile(random);
  const places = drawPlaces(random, config.sizeBytes);
  const count = 10 + below(random, 120);
  let size = config.sizeBytes;
  const steps: Step[] = [];
  for (let index = 0; index < count; index += 1) {
    const actions =
      isBypassing({seed}) && chance(random, 0.04)
        ? drawBypass(random, profile, places, size)
        : profile.weights.fault > 0 && chance(random, 0.06)
          ? drawStory(random, profile, places, size)
          : profile.weights.rot > 0 && chance(random, 0.1)
            ? drawRot(random, profile, places, size)
            : [drawAction(random, profile, places, size)];
    for (const action of actions) {
      if (action.kind === 'resize') size = action.sizeBytes;
      steps.push({seed: below(random, 2 ** 32), action});
    }
  }

  return {seed, config, steps};
}

function drawConfig(random: Random): ScriptConfig {
  return {
    sizeBytes: chance(random, 0.15) ? 4 * TIB : pick(random, [1, 2, 4, 8]) * MIB,
    segmentBytes: 4 * MIB,
    alignmentBytes: pick(random, [8, 8, 512, 4096]),
    durability: chance(random, 0.1) ? 'write' : 'flush',
    capacityBytes: chance(random, 0.15) ? (24 + below(random, 24)) * MIB : 0,
    interleaving: pick(random, [0, 0.05, 0.2, 0.5]),
    batchBytes: pick(random, [64 * KIB, MIB, 64 * MIB]),
  };
}

type Weights = Readonly<Record<Action['kind'], number>>;

const WEIGHTS: Weights = {
  write: 34,
  burst: 8,
  read: 12,
  discard: 4,
  zero: 4,
  flush: 6,
  rotate: 3,
  pause: 1,
  resume: 2,
  evict: 1,
  compare: 1,
  restart: 1,
  resize: 1,
  step: 12,
  wait: 4,
  die: 2,
  doom: 3,
  fault: 0,
  heal: 0,
  rot: 0,
};

interface Profile {
  readonly weights: Weights;
  /** Most bytes of one write, as a power of two. */
  readonly lengthBits: number;
}

function drawProfile(random: Random): Profile {
  const weights: Record<Action['kind'], number> = {...WEIGHTS};
  // Each run is one-sided in its own way: what is rare in the mean is common somewhere.
  for (const kind of Object.keys(weights) as Action['kind'][]) {
    if (chance(random, 0.2)) weights[kind] *= 4;
    if (chance(random, 0.15)) weights[kind] *= 0.1;
  }

  if (chance(random, 0.4)) {
    weights.fault = pick(random, [3, 10]);
    weights.heal = 4;
  }

  // A run with rot ends there, or is judged more mildly: only some have it.
  if (chance(random, 0.08)) weights.rot = 3;
  return {weights, lengthBits: pick(random, [12, 16, 18, 20])};
}

/** Writes gather in a few places, so that they overlap; some lie at the very ends. */
function drawPlaces(random: Random, sizeBytes: number): number[] {
  const places = [0, Math.max(0, sizeBytes - 64 * KIB)];
  for (let index = 0; index < 3; index += 1) places.push(below(random, sizeBytes / 4096) * 4096);
  return places;
}

function drawAction(
  random: Random,
  profile: Profile,
  places: readonly number[],
  sizeBytes: number,
): Action {
  const kind = pickWeighted(random, profile.weights);
  switch (kind) {
    case 'write':
    case 'read': {
      return {kind, ...drawRange(random, places, sizeBytes, 2 ** profile.lengthBits)};
    }

    case 'burst': {
      const {offset} = drawRange(random, places, sizeBytes, 4096);
      return {kind, offset: offset - (offset % 4096), count: 2 + below(random, 14)};
    }

    case 'discard':
    case 'zero': {
      const most = chance(random, 0.3) ? sizeBytes : 2 ** (profile.lengthBits + 2);
      return {kind, ...drawRange(random, places, sizeBytes, most)};
    }

    case 'resize': {
      return {kind, sizeBytes: sizeBytes + 4096 * (1 + below(random, 128))};
    }

    case 'step': {
      const actor = pick(random, ['commit', 'replay', 'keeper'] as const);
      return {kind, actor, count: 1 + below(random, 4)};
    }

    case 'wait': {
      return {kind, milliseconds: pick(random, [10, 300, 2000, 20_000])};
    }

    case 'rot':
    case 'die': {
      return {kind, death: pick(random, ['kill', 'power'])};
    }

    case 'doom': {
      const calls = 1 + below(random, pick(random, [4, 20, 100]));
      return {kind, death: pick(random, ['kill', 'power']), calls};
    }

    case 'fault': {
      return drawFault(random, sizeBytes);
    }

    default: {
      return {kind};
    }
  }
}

/** What chance alone brings together too seldom: the log cannot be synced, and then somebody dies. */
function drawStory(
  random: Random,
  profile: Profile,
  places: readonly number[],
  sizeBytes: number,
): Action[] {
  const write = (): Action => {
    return {kind: 'write', ...drawRange(random, places, sizeBytes, 2 ** profile.lengthBits)};
  };
  const death = pick(random, ['kill', 'power', 'power'] as const);
  const calls = chance(random, 0.7) ? SYNCS : (['write'] as const);
  return [
    {kind: 'step', actor: 'keeper', count: 16},
    write(),
    {kind: 'fault', path: '/log/', calls, fault: 'EIO', after: below(random, 2), count: 1},
    write(),
    ...(chance(random, 0.5) ? [{kind: 'doom', death, calls: 1 + below(random, 16)} as const] : []),
    {kind: 'flush'},
    {kind: 'die', death},
  ];
}

/**
 * A log without room, until its writes go past it; what then happens there, and an end of it: a death in the
 * middle, or room that is back.
 */
function drawBypass(
  random: Random,
  profile: Profile,
  places: readonly number[],
  sizeBytes: number,
): Action[] {
  const write = (): Action => {
    return {kind: 'write', ...drawRange(random, places, sizeBytes, 2 ** profile.lengthBits)};
  };
  const inside = (): Action[] =>
    Array.from({length: 1 + below(random, 8)}, () =>
      chance(random, 0.6)
        ? write()
        : drawAction(random, {...profile, weights: INSIDE_WEIGHTS}, places, sizeBytes),
    );
  const death = pick(random, ['kill', 'power', 'power'] as const);
  const wait: Action = {kind: 'wait', milliseconds: 20_000};
  const noRoom = {fault: 'ENOSPC', after: below(random, 3), count: 10_000} as const;
  return [
    {kind: 'resume'},
    {kind: 'step', actor: 'keeper', count: 16},
    write(),
    {kind: 'flush'},
    {kind: 'fault', path: '/log/', calls: ['write'], ...noRoom},
    ...[write(), wait, write(), wait, wait, wait, wait],
    ...(chance(random, 0.2) ? [{kind: 'doom', death, calls: 1 + below(random, 40)} as const] : []),
    ...[wait, ...inside()],
    ...(chance(random, 0.3) ? [{kind: 'doom', death, calls: 1 + below(random, 30)} as const] : []),
    ...[...inside(), {kind: 'heal'} as const],
    ...(chance(random, 0.5) ? [wait, wait, wait] : [{kind: 'die', death} as const]),
  ];
}

/** What a user does while writes go past the log. */
const INSIDE_WEIGHTS: Weights = {
  ...WEIGHTS,
  ...{discard: 12, zero: 12, flush: 16, burst: 12},
  ...{pause: 0, die: 0, doom: 0, restart: 0},
};

/** The last commit of a life rots, which nothing comes after. */
function drawRot(
  random: Random,
  profile: Profile,
  places: readonly number[],
  sizeBytes: number,
): Action[] {
  const range = drawRange(random, places, sizeBytes, 2 ** profile.lengthBits);
  const death = pick(random, ['kill', 'kill', 'power'] as const);
  return [{kind: 'write', ...range}, {kind: 'flush'}, {kind: 'rot', death}];
}

function drawRange(
  random: Random,
  places: readonly number[],
  sizeBytes: number,
  most: number,
): {offset: number; length: number} {
  const unit = pick(random, [512, 4096, 4096]);
  const limit = Math.max(1, Math.min(most, sizeBytes) / unit);
  // Short ranges are as likely as long ones.
  const length = unit * (1 + Math.floor(limit ** random() - 1));
  const near = pick(random, places) + below(random, 32) * unit;
  const offset = Math.max(0, Math.min(near, sizeBytes - length));
  return {offset: offset - (offset % 512), length};
}

const SYNCS: readonly SimCall[] = ['syncData', 'sync'];

function drawFault(random: Random, sizeBytes: number): Action {
  // What cannot be punched is written as zeros: not over terabytes, here.
  const punch: readonly SimCall[] = sizeBytes > 64 * MIB ? SYNCS : ['punch'];
  const fault = pick(random, ['EIO', 'EIO', 'ENOSPC'] as const);
  const calls: readonly SimCall[] =
    fault === 'ENOSPC'
      ? ['write']
      : pick<readonly SimCall[]>(random, [['write'], SYNCS, SYNCS, punch, ['read']]);
  return {
    kind: 'fault',
    path: pick(random, ['/log/', '/log/', '/image$', '/replay$', '.']),
    calls,
    fault,
    after: below(random, 6),
    count: pick(random, [1, 1, 3]),
  };
}

/** One line of a trace. */
export function describe(action: Action): string {
  const {kind, ...rest} = action;
  return `${kind} ${Object.values(rest).join(' ')}`.trim();
}
