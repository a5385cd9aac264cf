/** What replication costs the application: a writer with fdatasync, and links that are bad. */
import {formatPosition} from '../../src/core/position.js';
import {most, type Figure, type Probe} from './figures.js';
import {
  caughtUp,
  createResource,
  pause,
  positions,
  removeResource,
  route,
  settle,
  write,
  type Pair,
  type Settings,
} from './pair.js';
import type {WriterReport} from './writer.js';

const NAME = 'shared';
const ALONE = 'alone';
const FLAP_MS = 400;
const DRBD_LINK_BYTES_PER_SECOND = 2_000_000;

export const WRITER_PROBES: readonly Probe[] = [
  {name: 'writer', isRepeated: true, measure: measureWriter},
  {name: 'drbd', isRepeated: false, measure: measureBadLinks},
];

interface Condition {
  readonly name: string;
  readonly title: string;
  readonly resource: string;
  /** @returns what ends it */
  begin(pair: Pair): () => void;
}

const CONDITIONS: readonly Condition[] = [
  {
    ...{name: 'alone', title: 'without a replica', resource: ALONE},
    begin: () => () => undefined,
  },
  {
    ...{name: 'follows', title: 'with a replica that keeps up', resource: NAME},
    begin: () => () => undefined,
  },
  {
    ...{name: 'silent', title: 'with a link that passes nothing', resource: NAME},
    begin: ({cluster}) => {
      cluster.setLink('alpha', 'beta', 'half-open');
      return () => {
        cluster.setLink('alpha', 'beta', 'open');
      };
    },
  },
  {
    ...{name: 'flaps', title: 'with a link that is cut again and again', resource: NAME},
    begin: ({cluster}) => {
      let isCut = false;
      const timer = setInterval(() => {
        isCut = !isCut;
        cluster.setLink('alpha', 'beta', isCut ? 'cut' : 'open');
      }, FLAP_MS);
      return () => {
        clearInterval(timer);
        cluster.setLink('alpha', 'beta', 'open');
      };
    },
  },
];

/** All conditions in turn, so that what disturbs the machine disturbs all of them. */
async function measureWriter(pair: Pair, settings: Settings): Promise<Figure[]> {
  const seconds = settings.quick ? 2 : 6;
  try {
    await createResource(pair, ALONE, 256);
    await createResource(pair, NAME, 256);
    await pair.cluster.joinResource('beta', NAME);
    const reports = new Map<string, WriterReport>();
    for (const condition of CONDITIONS) {
      await settle(pair, NAME);
      await pair.alpha.replayed(ALONE, 60_000);
      const end = condition.begin(pair);
      try {
        reports.set(condition.name, await write(pair.alpha.device(condition.resource), seconds));
      } finally {
        end();
      }
    }

    return CONDITIONS.flatMap((condition) => figuresOf(condition, reports));
  } finally {
    await removeResource(pair, NAME);
    await removeResource(pair, ALONE);
  }
}

function figuresOf(condition: Condition, reports: ReadonlyMap<string, WriterReport>): Figure[] {
  const alone = reports.get('alone');
  const report = reports.get(condition.name);
  if (alone === undefined || report === undefined) return [];
  const {name, title} = condition;
  const figures: Figure[] = [
    {name: `writer-${name}-p50`, title: `${title}: p50`, unit: 'ms', value: report.p50Ms},
    {name: `writer-${name}-p99`, title: `${title}: p99`, unit: 'ms', value: report.p99Ms},
  ];
  if (name === 'alone') return figures;
  return [
    ...figures,
    {
      name: `writer-${name}-p50-ratio`,
      title: `${title}: p50 to that without a replica`,
      unit: 'x',
      value: report.p50Ms / alone.p50Ms,
      goal: most(1.1),
    },
    {
      name: `writer-${name}-p99-ratio`,
      title: `${title}: p99 to that without a replica`,
      unit: 'x',
      value: report.p99Ms / alone.p99Ms,
      goal: most(1.1),
    },
  ];
}

/** The two experiments in which DRBD's writer stood still. */
async function measureBadLinks(pair: Pair, settings: Settings): Promise<Figure[]> {
  const seconds = settings.quick ? 5 : 20;
  const {alpha, beta, cluster} = pair;
  try {
    await createResource(pair, NAME, 256);
    await route(pair, 'proxy');
    await cluster.joinResource('beta', NAME);
    await settle(pair, NAME);
    const wires = cluster.links('alpha', 'beta');
    for (const wire of wires) wire.bytesPerSecond = DRBD_LINK_BYTES_PER_SECOND;
    const slow = await write(alpha.device(NAME), seconds);
    for (const wire of wires) wire.bytesPerSecond = 0;
    await settle(pair, NAME);
    cluster.setLink('alpha', 'beta', 'half-open');
    const silent = await write(alpha.device(NAME), seconds);
    const behind = await positions(beta, NAME);
    const missing = ((await positions(alpha, NAME))?.appended ?? NaN) - (behind?.appended ?? NaN);
    const state = stateWatch(pair);
    cluster.setLink('alpha', 'beta', 'open');
    const resync = await caughtUp(pair, NAME, 180);
    const states = await state.end();
    process.stderr.write(
      `beta from ${formatPosition(behind?.appended ?? 0)}: ${states.join(', ')} while it caught up\n`,
    );
    return [
      ...stallFigures('slow', 'link of 2 MB/s', slow),
      ...stallFigures('silent', 'link cut in silence', silent),
      {
        name: 'drbd-resync',
        title: 'from the return of the link until the replica has all in its image',
        unit: 's',
        value: resync,
      },
      {name: 'drbd-resync-bytes', title: 'log that it lacked', unit: 'MB', value: missing / 1e6},
      {
        name: 'drbd-inconsistent',
        title: 'looks at the replica, while it caught up, that found it InConsistent',
        unit: 'of 100',
        value: (states.filter((each) => each === 'InConsistent').length / states.length) * 100,
        goal: most(0),
      },
    ];
  } finally {
    for (const wire of cluster.links('alpha', 'beta')) wire.bytesPerSecond = 0;
    cluster.setLink('alpha', 'beta', 'open');
    await removeResource(pair, NAME);
  }
}

function stallFigures(name: string, title: string, report: WriterReport): Figure[] {
  return [
    {
      name: `drbd-${name}-longest`,
      title: `${title}: longest standstill of the writer`,
      unit: 'ms',
      value: report.longestMs,
    },
    {
      name: `drbd-${name}-blocked`,
      title: `${title}: time in operations of more than 0.1 s`,
      unit: '%',
      value: report.blockedShare * 100,
    },
  ];
}

/** Looks at the state of beta's replica until it is told to end. */
function stateWatch({beta}: Pair): {end(): Promise<string[]>} {
  const states: string[] = [];
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      states.push((await beta.status(NAME)).state);
      await pause(200);
    }
  })();
  return {
    end: async () => {
      isOver = true;
      await watching;
      return states;
    },
  };
}
