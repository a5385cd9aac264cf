/** What one run with two or three nodes does, as data; drawn from a seed, kept, shrunk (script.ts). */
import {KIB, MIB} from '../../src/core/units.js';
import type {ModeSettings} from '../../src/core/mode.js';
import {drawFirstStory, drawPairStory} from './pair-stories.js';
import {below, chance, createRandom, pick, pickWeighted} from './random.js';
import type {Random} from './random.js';
import type {Death} from './script.js';
import type {SimCall, SimFaultKind} from './sim-faults.js';

export interface PairConfig {
  readonly nodes: number;
  readonly sizeBytes: number;
  readonly segmentBytes: number;
  readonly alignmentBytes: number;
  readonly durability: 'flush' | 'write';
  /** Chance that another actor runs in the middle of a call. */
  readonly interleaving: number;
  readonly batchBytes: number;
  /** Replay waits until so long nothing was appended. */
  readonly quietMs: number;
  /** What flushes wait for; absent: for nobody else. */
  readonly mode?: ModeSettings;
  /** Chance that a source tells how far it is durable before it sends what is next. */
  readonly earlyMarks?: number;
}

/**
 * `node`: which one, or among those to which it applies, counted around; -1: whoever is primary then,
 * -2, -3: the others.
 */
export type PairAction =
  | {
      readonly kind: 'write' | 'discard';
      readonly node: number;
      readonly offset: number;
      readonly length: number;
    }
  | {readonly kind: 'flush' | 'rotate' | 'read'; readonly node: number}
  /** So many frames go over the stream of a follower. */
  | {
      readonly kind: 'stream';
      readonly node: number;
      readonly count: number;
      /** The source tells how far it is durable, before all else. */
      readonly isEarly?: boolean;
    }
  | {
      readonly kind: 'step';
      readonly node: number;
      readonly actor: 'commit' | 'replay' | 'work';
      readonly count: number;
    }
  | {readonly kind: 'wait'; readonly milliseconds: number}
  /** The stream breaks, and until `heal` there is no new one. */
  | {readonly kind: 'cut' | 'break' | 'heal'; readonly node: number}
  /** A byte of a frame under way changes; or it becomes one of another history. */
  | {readonly kind: 'flip' | 'forge'; readonly node: number}
  | {readonly kind: 'die'; readonly node: number; readonly death: Death; readonly stays: boolean}
  /** Returns after it was left dead; `blind`: it reaches nobody, and goes on as what it was. */
  | {readonly kind: 'return'; readonly node: number; readonly blind: boolean}
  /** Nodes that are primary without being it any more get to know. */
  | {readonly kind: 'meet'}
  | {readonly kind: 'doom'; readonly node: number; readonly death: Death; readonly calls: number}
  | {
      readonly kind: 'fault';
      readonly node: number;
      readonly path: string;
      readonly calls: readonly SimCall[];
      readonly fault: SimFaultKind;
      readonly after: number;
      readonly count: number;
    }
  | {readonly kind: 'mend'; readonly node: number}
  /** Followers have what is not durable at the primary when its power goes. */
  | {readonly kind: 'blackout'; readonly node: number; readonly count: number}
  /** The primary dies and stays dead; this one takes its place by force. */
  | {readonly kind: 'failover'; readonly node: number; readonly death: Death}
  | {readonly kind: 'force' | 'handover' | 'resolve'; readonly node: number}
  /** The next stream of a follower comes from this node. */
  | {readonly kind: 'source'; readonly node: number; readonly from: number};

export interface PairStep {
  readonly seed: number;
  readonly action: PairAction;
}

export interface PairScript {
  readonly seed: number;
  readonly pair: true;
  readonly config: PairConfig;
  readonly steps: readonly PairStep[];
}

type Kind = PairAction['kind'];

const WEIGHTS: Readonly<Record<Kind, number>> = {
  write: 40,
  discard: 4,
  flush: 8,
  rotate: 3,
  read: 1,
  stream: 40,
  step: 24,
  wait: 12,
  cut: 2,
  break: 2,
  heal: 3,
  flip: 1,
  forge: 0.5,
  die: 4,
  return: 8,
  meet: 1,
  doom: 4,
  fault: 0,
  mend: 0,
  failover: 6,
  blackout: 3,
  force: 2,
  handover: 2,
  resolve: 2,
  source: 2,
};

export function drawPairScript(seed: number): PairScript {
  const random = createRandom(seed ^ 0x9a17);
  const nodes = pick(random, [2, 3, 3]);
  const base: PairConfig = {
    nodes,
    sizeBytes: pick(random, [1, 2]) * MIB,
    segmentBytes: pick(random, [MIB, MIB / 2]),
    alignmentBytes: pick(random, [8, 8, 512, 4096]),
    durability: chance(random, 0.1) ? 'write' : 'flush',
    interleaving: pick(random, [0, 0.05, 0.2]),
    batchBytes: pick(random, [64 * KIB, MIB, 64 * MIB]),
    quietMs: pick(random, [0, 0, 0, 250]),
    earlyMarks: pick(random, [0, 0.1, 0.5]),
  };
  const mode = drawMode(random, nodes);
  const config: PairConfig = mode === undefined ? base : {...base, mode};
  const weights: Record<Kind, number> = {...WEIGHTS};
  for (const kind of Object.keys(weights) as Kind[]) {
    if (chance(random, 0.2)) weights[kind] *= 4;
    if (chance(random, 0.15)) weights[kind] *= 0.1;
  }

  if (chance(random, 0.4)) {
    weights.fault = pick(random, [3, 8]);
    weights.mend = 6;
  }

  const lengthBits = pick(random, [12, 14, 16, 18]);
  const steps: PairStep[] = [];
  const count = 40 + below(random, 300);
  const stories = pick(random, [0, 0.02, 0.06]);
  const add = (actions: readonly PairAction[]): void => {
    for (const action of actions) steps.push({seed: below(random, 2 ** 32), action});
  };
  if (chance(random, 0.15)) add(drawFirstStory(random, config));
  for (let index = 0; index < count; index += 1) {
    if (chance(random, stories)) add(drawPairStory(random, config));
    else add([drawAction(random, pickWeighted(random, weights), config, lengthBits)]);
  }

  return {seed, pair: true, config, steps};
}

/** Every third run waits for replicas, most of them not for ever. */
function drawMode(random: Random, nodes: number): ModeSettings | undefined {
  if (!chance(random, 0.35)) return undefined;
  return {
    mode: pick(random, ['sync', 'sync', 'near-sync']),
    syncReplicas: 1 + below(random, nodes - 1),
    degradeAfterSeconds: pick(random, [1, 2, 5, null]),
  };
}

function drawAction(
  random: Random,
  kind: Kind,
  config: PairConfig,
  lengthBits: number,
): PairAction {
  const node = below(random, config.nodes);
  switch (kind) {
    case 'write':
    case 'discard': {
      return {kind, node, ...drawRange(random, config.sizeBytes, 2 ** lengthBits)};
    }

    case 'stream': {
      return {kind, node, count: 1 + below(random, pick(random, [2, 6, 20]))};
    }

    case 'step': {
      const actor = pick(random, ['commit', 'replay', 'work'] as const);
      return {kind, node, actor, count: 1 + below(random, 6)};
    }

    case 'wait': {
      return {kind, milliseconds: pick(random, [10, 300, 2000, 12_000])};
    }

    case 'blackout': {
      return {kind, node, count: 1 + below(random, 4)};
    }

    case 'failover': {
      return {kind, node, death: pick(random, ['kill', 'power'])};
    }

    case 'die': {
      return {kind, node, death: pick(random, ['kill', 'power']), stays: chance(random, 0.5)};
    }

    case 'return': {
      return {kind, node, blind: chance(random, 0.3)};
    }

    case 'doom': {
      const calls = 1 + below(random, pick(random, [4, 20, 100]));
      return {kind, node, death: pick(random, ['kill', 'power']), calls};
    }

    case 'fault': {
      return drawFault(random, node);
    }

    case 'source': {
      return {kind, node, from: below(random, config.nodes)};
    }

    case 'meet': {
      return {kind};
    }

    default: {
      return {kind, node};
    }
  }
}

function drawRange(
  random: Random,
  sizeBytes: number,
  most: number,
): {offset: number; length: number} {
  const unit = pick(random, [512, 4096, 4096]);
  const length = unit * Math.max(1, Math.floor((most / unit) ** random()));
  const offset = below(random, (sizeBytes - length) / 512 + 1) * 512;
  return {offset, length};
}

const SYNCS: readonly SimCall[] = ['syncData', 'sync'];

function drawFault(random: Random, node: number): PairAction {
  const fault = pick(random, ['EIO', 'EIO', 'ENOSPC'] as const);
  const calls: readonly SimCall[] =
    fault === 'ENOSPC'
      ? ['write']
      : pick<readonly SimCall[]>(random, [['write'], SYNCS, SYNCS, ['rename'], ['read']]);
  return {
    kind: 'fault',
    node,
    path: pick(random, ['/log/', '/log/', '/image$', '/replay$', '.']),
    calls,
    fault,
    after: below(random, 6),
    count: pick(random, [1, 1, 3]),
  };
}

/** One line of a trace. */
export function describePair(action: PairAction): string {
  const {kind, ...rest} = action;
  return `${kind} ${Object.values(rest).join(' ')}`.trim();
}
