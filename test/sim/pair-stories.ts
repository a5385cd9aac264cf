/**
 * What chance alone brings together too seldom, as sequences of actions: each aims at one kind of
 * trouble between nodes. Chance stays in between: others run in the middle of calls, and faults.
 */
import {below, chance, pick} from './random.js';
import type {Random} from './random.js';
import type {PairAction, PairConfig} from './pair-script.js';
import type {Death} from './script.js';

type Story = (random: Random, config: PairConfig) => PairAction[];

/** A story of a few, in order; `length` in bytes. */
const write = (random: Random, {sizeBytes}: PairConfig, length = 4096): PairAction => {
  const places = Math.floor((sizeBytes - length) / 4096) + 1;
  return {kind: 'write', node: 0, offset: below(random, places) * 4096, length};
};

const flush: PairAction = {kind: 'flush', node: 0};
const rotate: PairAction = {kind: 'rotate', node: 0};
const stream = (node: number, count: number): PairAction => ({kind: 'stream', node, count});
const wait = (milliseconds: number): PairAction => ({kind: 'wait', milliseconds});

const step = (node: number, actor: 'commit' | 'replay' | 'work', count = 1): PairAction => {
  return {kind: 'step', node, actor, count};
};

function times(count: number, make: () => PairAction[]): PairAction[] {
  return Array.from({length: count}, make).flat();
}

/** Whoever is primary when it comes to it (pair-world). */
const PRIMARY = -1;

/** The others, in some order. */
function others(random: Random): [number, number] {
  return chance(random, 0.5) ? [-2, -3] : [-3, -2];
}

function all(config: PairConfig, make: (node: number) => PairAction): PairAction[] {
  return Array.from({length: config.nodes}, (_, node) => make(node));
}

const death = (random: Random): Death => pick(random, ['kill', 'power', 'power']);

/** A replica is away while the log goes on over several files, which are used again where they may be. */
const laggard: Story = (random, config) => {
  const [node] = others(random);
  return [
    stream(node, 4),
    {kind: 'break', node},
    ...times(4, () => [
      write(random, config, 256 * 1024),
      write(random, config, 64 * 1024),
      rotate,
      flush,
      ...all(config, (one) => stream(one, 6)),
      ...times(3, () => [wait(300)]),
      ...all(config, (one) => step(one, 'work', 6)),
    ]),
    {kind: 'heal', node},
    ...times(3, () => [stream(node, 12), wait(300)]),
  ];
};

/** A replica far behind hears how far its source is durable, and then gets another one, which has less. */
const rumour: Story = (random, config) => {
  const [behind, next] = others(random);
  return [
    ...times(2, () => [...all(config, (node) => stream(node, 8)), wait(10)]),
    write(random, config, 16_384),
    flush,
    stream(next, 2),
    stream(behind, below(random, 2)),
    ...times(3, () => [write(random, config, 65_536), flush]),
    {kind: 'stream', node: behind, count: 1 + below(random, 3), isEarly: true},
    {kind: 'failover', node: next, death: death(random)},
    ...times(4, () => [
      write(random, config, 8192),
      stream(behind, 4),
      step(behind, 'commit'),
      step(behind, 'replay', 2),
    ]),
  ];
};

/** Replicas have what the primary loses; it goes on without asking them, past where they are. */
const lostTail: Story = (random, config) => {
  const [node, other] = others(random);
  const restart = chance(random, 0.5);
  return [
    write(random, config),
    stream(node, 3),
    {kind: 'blackout', node, count: 1 + below(random, 3)},
    ...times(2, () => [write(random, config)]),
    stream(node, 1 + below(random, 3)),
    {kind: 'die', node: restart ? node : other, death: death(random), stays: false},
    stream(other, 3),
    step(node, 'commit'),
    stream(node, 8),
    {kind: 'die', node, death: death(random), stays: false},
  ];
};

/** A replica feeds another one, and its own log is cut and grows past the place where that one reads. */
const relay: Story = (random, config) => {
  const [middle, last] = others(random);
  const count = 1 + below(random, 3);
  return [
    ...all(config, (node) => stream(node, 10)),
    {kind: 'cut', node: last},
    {kind: 'source', node: last, from: middle},
    wait(10),
    stream(last, 4),
    ...times(count, () => [write(random, config, 8192), stream(middle, 2), stream(last, 2)]),
    {kind: 'die', node: PRIMARY, death: 'power', stays: true},
    {kind: 'return', node: PRIMARY, blind: true},
    ...times(count + below(random, 3), () => [write(random, config, 8192)]),
    flush,
    ...times(3, () => [{kind: 'stream', node: middle, count: 2, isEarly: true} as const]),
    {kind: 'stream', node: last, count: 2, isEarly: true},
    step(last, 'commit'),
    step(last, 'replay', 2),
    ...times(3, () => [stream(middle, 2), stream(last, 2)]),
  ];
};

/** The role goes on its way while writes come, and somebody dies. */
const handover: Story = (random, config) => {
  const [next, after] = others(random);
  const load = (): PairAction[] => [
    write(random, config, 16_384),
    ...all(config, (node) => stream(node, 6)),
    wait(pick(random, [10, 300])),
  ];
  return [
    ...all(config, (node) => ({kind: 'heal', node})),
    ...times(3, load),
    {kind: 'handover', node: next},
    ...(chance(random, 0.5) ? [write(random, config)] : []),
    ...(chance(random, 0.4)
      ? [
          {
            kind: 'doom',
            node: pick(random, [next, after]),
            death: death(random),
            calls: 1 + below(random, 30),
          } as const,
        ]
      : []),
    ...times(3, load),
    {kind: 'handover', node: after},
    ...times(2, load),
  ];
};

/** Two go on from one point; the old primary comes back, hears of it, and gives way. */
const oldPrimary: Story = (random, config) => {
  const [next] = others(random);
  const old = PRIMARY;
  return [
    ...times(2, () => [
      write(random, config),
      flush,
      ...all(config, (node) => stream(node, 1 + below(random, 4))),
    ]),
    {kind: 'die', node: old, death: death(random), stays: true},
    {kind: 'force', node: next},
    ...times(2, () => [write(random, config), ...all(config, (node) => stream(node, 3))]),
    {kind: 'return', node: old, blind: chance(random, 0.6)},
    ...times(3, () => [
      {kind: 'write', node: below(random, 2), offset: 4096 * below(random, 64), length: 8192},
      ...all(config, (node) => stream(node, 2)),
    ]),
    {kind: 'meet'},
    ...all(config, (node) => stream(node, 4)),
    {kind: 'resolve', node: old},
    ...all(config, (node) => stream(node, 6)),
  ];
};

/** The log goes to the next file, and to another one, in the middle of what a replica receives. */
const rotation: Story = (random, config) => {
  const [node] = others(random);
  return times(4, () => [
    write(random, config, 4096 * (1 + below(random, 16))),
    stream(node, 1),
    rotate,
    stream(node, 1 + below(random, 2)),
    chance(random, 0.3) ? {kind: 'cut', node} : step(node, 'commit'),
    chance(random, 0.3)
      ? {kind: 'die', node, death: death(random), stays: false}
      : step(node, 'replay'),
  ]);
};

/** Records with right checksums from another history, as a machine sends that was put back with its memory. */
const stranger: Story = (random, config) => {
  const [node] = others(random);
  return [
    stream(node, 10),
    ...times(3, () => [
      write(random, config),
      flush,
      {kind: 'forge', node},
      stream(node, 2),
      {kind: 'forge', node},
      stream(node, 2),
    ]),
  ];
};

const STORIES: readonly Story[] = [
  laggard,
  rumour,
  lostTail,
  relay,
  handover,
  oldPrimary,
  rotation,
  stranger,
];

export function drawPairStory(random: Random, config: PairConfig): PairAction[] {
  return pick(random, STORIES)(random, config);
}

/** A loss before anything else: the log is cut where it began. */
export function drawFirstStory(random: Random, config: PairConfig): PairAction[] {
  return lostTail(random, config);
}
