/** Log life: who needs which file is shown, what nobody needs goes, and no data goes with it. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ReplayView} from '../../src/control/api.js';
import type {CareResult, PruneResult} from '../../src/control/care-api.js';
import {bareDisk, hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import {until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const DATA_MIB = 20;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

test('a paused replay keeps the log and is named; cron without a daemon loses nothing', async () => {
  const disk = await bareDisk(node, 'life', '64M');
  const source = randomFile(node, 'source.bin', DATA_MIB);
  await node.mars('replay', 'pause', 'life');
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  const dry = await node.json<PruneResult>('log', 'prune', 'life', '--dry-run');
  const needed = dry.files.filter(({neededBy}) => neededBy.length > 0);
  assert.ok(needed.length >= 5, JSON.stringify(dry));
  assert.match(needed[0]?.reason ?? '', /^the image here has it up to 0+: replay is paused$/u);

  await node.mars('secondary', 'life');
  await node.mars('detach', 'life');
  await node.killDaemon();
  const crons = await Promise.all([1, 2].map(() => node.json<CareResult>('cron')));
  assert.ok(crons.some(({by}) => by === 'cron'));
  assert.ok(crons.every(({resources}) => resources.every(({error}) => error === null)));
  const kept = await node.json<PruneResult>('log', 'prune', 'life');
  assert.ok(kept.files.filter(({kind}) => kind === 'segment').length >= 6, JSON.stringify(kept));

  await node.startDaemon();
  await node.mars('attach', 'life');
  await node.mars('replay', 'resume', 'life');
  const isReplayed = async (): Promise<boolean> => {
    const {backlogBytes} = await node.json<ReplayView>('replay', 'status', 'life');
    return backlogBytes === 0;
  };
  await until(isReplayed, 30_000, 'the log in the image');
  await node.mars('detach', 'life');
  const pruned = await node.json<PruneResult>('log', 'prune', 'all');
  assert.not('errors' in pruned && (pruned as {errors: unknown[]}).errors.length > 0);
  const after = await node.json<PruneResult>('log', 'prune', 'life', '--dry-run');
  const segments = after.files.filter(({kind}) => kind === 'segment');
  assert.ok(segments.length <= 2, JSON.stringify(after));
  assert.is(await hashOf(imageBehind(node, 'life'), DATA_MIB), await hashOf(source, DATA_MIB));

  await node.mars('attach', 'life');
  await node.mars('primary', 'life', '--no-device');
  assert.is(await hashOf(disk, DATA_MIB), await hashOf(source, DATA_MIB));
  await node.mars('secondary', 'life');
});

test.run();
