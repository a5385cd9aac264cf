/** Copies of images: of one that is nearly the same, and of one that is empty. */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {run} from '../../test/helpers/run.js';
import {most, type Figure, type Probe} from './figures.js';
import {MIB, removeResource, route, timeUntil, type Pair, type Settings} from './pair.js';

const NAME = 'copied';
const SECONDS_MAX = 240;

export const SYNC_PROBES: readonly Probe[] = [
  {name: 'sync-nearly-equal', isRepeated: false, measure: measureNearlyEqual},
  {name: 'sync-empty', isRepeated: false, measure: measureEmpty},
];

async function measureNearlyEqual(pair: Pair, settings: Settings): Promise<Figure[]> {
  const chunks = settings.quick ? 512 : 10_240;
  const source = path.join(pair.alpha.directory, 'source.img');
  const target = path.join(pair.beta.directory, 'target.img');
  try {
    fillImage(source, chunks);
    await run('cp', [source, target], {timeoutMs: SECONDS_MAX * 1000});
    const changed = changeChunks(target, chunks);
    await run('sync', ['-f', source], {timeoutMs: SECONDS_MAX * 1000});
    // The floor: both nodes are on this machine, so both images are read and digested here.
    const readSeconds = await timeOf(() =>
      Promise.all([
        run('sha256sum', [source], {timeoutMs: SECONDS_MAX * 1000}),
        run('sha256sum', [target], {timeoutMs: SECONDS_MAX * 1000}),
      ]),
    );
    const device = ['--set', 'device=off'];
    const size = ['--size', `${chunks}M`];
    await pair.alpha.mars(
      'resource',
      'create',
      NAME,
      ...size,
      '--image',
      source,
      '--force',
      ...device,
    );
    await route(pair, 'proxy');
    const before = wireBytes(pair);
    const {seconds} = await join(pair, ['--image', target, '--force']);
    const sent = wireBytes(pair) - before;
    return [
      {
        name: 'sync-rate',
        title: 'copy of an image of which 1 % differs, both sides on this machine',
        unit: 'MB/s',
        value: (chunks * MIB) / 1e6 / seconds,
      },
      {
        name: 'sync-to-digests',
        title: 'its time to that of sha256sum of both images at once',
        unit: 'x',
        value: seconds / readSeconds,
        goal: most(1.25),
      },
      {
        name: 'sync-bytes',
        title: 'bytes on the wire to the chunks that differ',
        unit: 'x',
        value: sent / (changed * MIB),
        goal: most(1.1),
      },
    ];
  } finally {
    await removeResource(pair, NAME);
    fs.rmSync(source, {force: true});
    fs.rmSync(target, {force: true});
  }
}

async function measureEmpty(pair: Pair, settings: Settings): Promise<Figure[]> {
  const size = settings.quick ? '64G' : '1T';
  try {
    await pair.alpha.mars('resource', 'create', NAME, '--size', size, '--set', 'device=off');
    const {seconds} = await join(pair, []);
    return [
      {
        name: 'sync-empty',
        title: `copy of an empty image of ${size}`,
        unit: 's',
        value: seconds,
        goal: most(60),
      },
    ];
  } finally {
    await removeResource(pair, NAME);
  }
}

/** Joins on beta. @returns how long it took until the copy was done */
async function join(pair: Pair, words: readonly string[]): Promise<{seconds: number}> {
  await timeUntil('beta hearing of the resource', 30, async () => {
    const list = await pair.beta.tryMars('status', NAME, '--json');
    return list.stdout.includes(NAME);
  });
  const start = performance.now();
  const joining = await pair.beta.tryMars('resource', 'join', NAME, ...words);
  if (joining.status !== 0) throw new Error(`join: ${joining.stderr}`);
  await timeUntil('the copy', SECONDS_MAX, async () => {
    const status = await pair.beta.diskStatus(NAME);
    return status?.follow?.phase === 'following';
  });
  return {seconds: (performance.now() - start) / 1000};
}

function wireBytes({cluster}: Pair): number {
  const {there, back} = cluster.link('beta', 'alpha').statistics();
  return there + back;
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** Content that no two chunks share. */
function fillImage(file: string, chunks: number): void {
  const fd = fs.openSync(file, 'w');
  const bytes = randomBytes(MIB);
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    bytes.writeUInt32LE(chunk, 0);
    fs.writeSync(fd, bytes, 0, MIB, chunk * MIB);
  }

  fs.closeSync(fd);
}

/** Changes a block in each hundredth chunk. @returns how many */
function changeChunks(file: string, chunks: number): number {
  const fd = fs.openSync(file, 'r+');
  let changed = 0;
  for (let chunk = 7; chunk < chunks; chunk += 100) {
    fs.writeSync(fd, randomBytes(4096), 0, 4096, chunk * MIB + 8192);
    changed += 1;
  }

  fs.closeSync(fd);
  return changed;
}
