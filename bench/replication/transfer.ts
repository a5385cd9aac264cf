/** How fast log goes from node to node, and from a replica's log into its image. */
import {parsePosition} from '../../src/core/position.js';
import {fio} from '../fio.js';
import {least, most, type Figure, type Probe} from './figures.js';
import {
  createResource,
  MIB,
  pause,
  positions,
  removeResource,
  route,
  settle,
  timeUntil,
  type Pair,
  type Settings,
} from './pair.js';

const NAME = 'transfer';
const SECONDS_MAX = 180;

export const TRANSFER_PROBES: readonly Probe[] = [
  {
    name: 'stream',
    isRepeated: true,
    measure: (pair, settings) => withResource(pair, 1024, () => measureStream(pair, settings)),
  },
  {
    name: 'lag',
    isRepeated: false,
    measure: (pair, settings) => withResource(pair, 512, () => measureLag(pair, settings)),
  },
  {
    name: 'far',
    isRepeated: false,
    measure: (pair, settings) => withResource(pair, 512, () => measureFar(pair, settings)),
  },
  {
    name: 'idle',
    isRepeated: false,
    measure: (pair, settings) => withResource(pair, 64, () => measureIdle(pair, settings)),
  },
];

async function withResource<T>(pair: Pair, sizeMib: number, work: () => Promise<T>): Promise<T> {
  try {
    await createResource(pair, NAME, sizeMib);
    await pair.cluster.joinResource('beta', NAME);
    await settle(pair, NAME);
    return await work();
  } finally {
    pair.cluster.setLink('alpha', 'beta', 'open');
    await route(pair, 'proxy');
    await removeResource(pair, NAME);
  }
}

/** Log that waits at alpha is fetched without replay, then replayed without a stream. */
async function measureStream(pair: Pair, settings: Settings): Promise<Figure[]> {
  const {alpha, beta} = pair;
  await route(pair, 'direct');
  const device = alpha.device(NAME);
  const large = await backlog(pair, settings, device, '64k', settings.quick ? 256 : 1024);
  await beta.mars('replay', 'pause', NAME);
  const largeRate = await fetchRate(pair, large);
  await replayRate(pair);
  const small = await backlog(pair, settings, device, '4k', settings.quick ? 128 : 512);
  await beta.mars('replay', 'pause', NAME);
  const smallRate = await fetchRate(pair, small);
  const replayed = await replayRate(pair);
  return [
    {
      name: 'stream-64k',
      title: 'log through TLS on loopback, 64k records',
      unit: 'MB/s',
      value: largeRate,
      goal: least(300),
    },
    {
      name: 'stream-4k',
      title: 'log through TLS on loopback, 4k records',
      unit: 'MB/s',
      value: smallRate,
      goal: least(300),
    },
    {
      name: 'replay-4k',
      title: 'replay of random 4k records on the replica',
      unit: 'MB/s',
      value: replayed,
      goal: least(300),
    },
  ];
}

/** Writes while beta fetches nothing. @returns where the log ends */
async function backlog(
  {alpha, beta}: Pair,
  settings: Settings,
  device: string,
  blockSize: string,
  mib: number,
): Promise<number> {
  await beta.mars('fetch', 'pause', NAME);
  await fio(settings.scratch, device, [
    '--rw=randwrite',
    `--bs=${blockSize}`,
    '--ioengine=libaio',
    '--iodepth=16',
    '--direct=1',
    `--io_size=${mib}M`,
    '--end_fsync=1',
    '--norandommap=1',
    '--allow_mounted_write=0',
  ]);
  // Nothing of alpha's own is under way while it is measured.
  await alpha.replayed(NAME, SECONDS_MAX * 1000);
  return (await positions(alpha, NAME))?.appended ?? NaN;
}

/** @returns megabytes per second until beta has all of it durably */
async function fetchRate({beta}: Pair, target: number): Promise<number> {
  const first = (await positions(beta, NAME))?.durable ?? NaN;
  await beta.mars('fetch', 'resume', NAME);
  let begun = performance.now();
  await timeUntil('fetching the log', SECONDS_MAX, async () => {
    const on = await positions(beta, NAME);
    // The time to open a stream is another figure's affair.
    if (on?.appended === first) begun = performance.now();
    return on !== undefined && on.durable >= target;
  });
  return (target - first) / 1e6 / ((performance.now() - begun) / 1000);
}

/** @returns megabytes of log per second until all of it is in beta's image, durably */
async function replayRate({beta}: Pair): Promise<number> {
  const before = await positions(beta, NAME);
  const target = before?.durable ?? NaN;
  const first = before?.replayed ?? NaN;
  await beta.mars('replay', 'resume', NAME);
  // The batch begins when the command has got there, which is before the command has ended.
  const seconds = await timeUntil('replay', SECONDS_MAX, async () => {
    const on = await positions(beta, NAME);
    return on !== undefined && on.replayed >= target;
  });
  return (target - first) / 1e6 / seconds;
}

/** How old the newest is that beta has, while alpha is written to steadily. */
async function measureLag(pair: Pair, settings: Settings): Promise<Figure[]> {
  const {alpha, beta} = pair;
  await route(pair, 'direct');
  const seconds = settings.quick ? 5 : 20;
  const load = fio(settings.scratch, alpha.device(NAME), [
    '--rw=randwrite',
    '--bs=16k',
    '--direct=1',
    '--ioengine=psync',
    '--fdatasync=16',
    '--rate=20000000',
    '--time_based=1',
    `--runtime=${seconds}`,
  ]);
  // Where alpha's log ended when, and what of it beta had when: both are asked, neither is believed
  // about time.
  const trail: {atMs: number; appended: number}[] = [];
  const [fetched, replayed]: [number[], number[]] = [[], []];
  const behindMs = (position: number, nowMs: number): number => {
    const next = trail.find(({appended}) => appended > position);
    return next === undefined ? 0 : nowMs - next.atMs;
  };
  let running = true;
  const ended = load.finally(() => (running = false));
  const beganMs = performance.now();
  while (running) {
    const there = await positions(alpha, NAME);
    trail.push({atMs: performance.now(), appended: there?.appended ?? 0});
    const here = await positions(beta, NAME);
    const nowMs = performance.now();
    // The first moments are those in which the load begins.
    if (here !== undefined && nowMs - beganMs > 1000) {
      fetched.push(behindMs(here.durable, nowMs) / 1000);
      replayed.push(behindMs(here.replayed, nowMs) / 1000);
    }

    await pause(20);
  }

  const {megabytesPerSecond} = await ended;
  const title = `under ${megabytesPerSecond.toFixed(0)} MB/s of 16k writes, p99`;
  return [
    {
      name: 'lag-log-p99',
      title: `lag of the replica's durable log ${title}`,
      unit: 's',
      value: p99(fetched),
      goal: most(0.5),
    },
    {
      name: 'lag-image-p99',
      title: `lag of the replica's image ${title}`,
      unit: 's',
      value: p99(replayed),
    },
  ];
}

function p99(samples: readonly number[]): number {
  const sorted = [...samples].sort((left, right) => left - right);
  return sorted[Math.floor((sorted.length - 1) * 0.99)] ?? NaN;
}

/** A link of 20 MB/s with 100 ms each way: how much of it does a backlog use? */
async function measureFar(pair: Pair, settings: Settings): Promise<Figure[]> {
  const {cluster, alpha, beta} = pair;
  const rate = 20e6;
  const wire = cluster.link('beta', 'alpha');
  await backlog(pair, settings, alpha.device(NAME), '64k', settings.quick ? 96 : 256);
  wire.bytesPerSecond = rate;
  wire.delayMs = 100;
  try {
    await beta.mars('fetch', 'resume', NAME);
    const before = wire.statistics().back;
    await timeUntil('the first MiB over the far link', 60, () =>
      Promise.resolve(wire.statistics().back > before + MIB),
    );
    const [start, first] = [performance.now(), wire.statistics().back];
    await pause(settings.quick ? 2000 : 8000);
    const seconds = (performance.now() - start) / 1000;
    const used = (wire.statistics().back - first) / seconds / rate;
    return [
      {
        name: 'far-use',
        title: 'use of a link of 20 MB/s with a round trip of 200 ms',
        unit: '%',
        value: used * 100,
        goal: least(90),
      },
    ];
  } finally {
    wire.bytesPerSecond = 0;
    wire.delayMs = 0;
  }
}

/** All that goes between two nodes with one resource while nothing happens. */
async function measureIdle(pair: Pair, settings: Settings): Promise<Figure[]> {
  const total = (): number =>
    pair.cluster
      .links('alpha', 'beta')
      .reduce((sum, link) => sum + link.statistics().there + link.statistics().back, 0);
  // What was told of the last change is through.
  await pause(6000);
  const [start, before] = [performance.now(), total()];
  await pause(settings.quick ? 10_000 : 30_000);
  const seconds = (performance.now() - start) / 1000;
  const end = (await positions(pair.alpha, NAME))?.appended;
  if (parsePosition((await pair.beta.diskStatus(NAME))?.position ?? '') !== end) {
    throw new Error('the replica does not follow: what was idle was not the link');
  }

  return [
    {
      name: 'idle',
      title: 'idle traffic between two nodes, one resource, both ways',
      unit: 'B/s',
      value: (total() - before) / seconds,
      goal: most(1000),
    },
  ];
}
