/** Real daemons and disk processes that kill themselves where a death is worst, and come back. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Cluster} from '../helpers/cluster.js';
import {randomFile, writeDisk} from '../helpers/disk-io.js';
import type {TempHome} from '../helpers/temp-home.js';

const NAME = 'web01';
const cluster = new Cluster(['alpha', 'beta']);

test.before(async () => {
  await cluster.start();
  await cluster.createResource('alpha', NAME, '32M');
  await cluster.joinResource('beta', NAME);
});

test.after(() => cluster.dispose());

/** Starts the daemon of a node again, so that it or its disk processes die at a crash point. */
async function arm(on: string, phase: string): Promise<void> {
  const node = cluster.node(on);
  await node.mars('daemon', 'stop');
  await node.startDaemon('--error-injection-phase', phase);
}

/** Waits until the daemon has killed itself, and starts one that does not. */
async function comesBack(node: TempHome): Promise<void> {
  await cluster.wait(`the daemon of ${node.name} to be dead`, 60_000, async () => {
    return (await node.daemonStatus()).pid === null;
  });
  await node.startDaemon();
}

async function roles(): Promise<string> {
  const both = await Promise.all(['alpha', 'beta'].map((on) => cluster.status(on, NAME)));
  return both.map(({role}) => role).join();
}

let written = 0;

async function write(on: string): Promise<void> {
  const node = cluster.node(on);
  const source = randomFile(node, `data-${written}`, 1);
  await writeDisk(source, node.device(NAME), [`seek=${written}`, 'conv=notrunc,fsync']);
  written += 1;
}

/** One primary, and equal images. */
async function settles(expected: string): Promise<void> {
  await cluster.wait(`roles ${expected}`, 60_000, async () => (await roles()) === expected);
  await cluster.equalImages(NAME);
}

test('the old primary dies when its grant is durable and nobody heard of it: the other one gets the role in the end', async () => {
  await write('alpha');
  await arm('alpha', 'handover-granted');
  const beta = cluster.node('beta');
  const asked = await beta.tryMars('primary', NAME, '--timeout', '30');
  assert.is.not(asked.status, 0, 'the answer never came');
  await comesBack(cluster.node('alpha'));
  await cluster.wait('alpha to be secondary', 60_000, async () => {
    return (await cluster.status('alpha', NAME)).role === 'secondary';
  });
  await cluster.wait('beta to get the role', 90_000, async () => {
    return (await beta.tryMars('primary', NAME, '--timeout', '30')).status === 0;
  });
  await write('beta');
  await settles('secondary,primary');
});

test('the disk process dies when its epoch is in the lineage and has not begun: the next generation serves', async () => {
  const alpha = cluster.node('alpha');
  await arm('alpha', 'epoch-in-lineage');
  await cluster.wait('alpha to get the role', 90_000, async () => {
    return (await alpha.tryMars('primary', NAME, '--timeout', '30')).status === 0;
  });
  const disk = await alpha.diskStatus(NAME);
  assert.ok((disk?.restarts ?? 0) > 0, 'the first one has died');
  await write('alpha');
  await settles('primary,secondary');
});

test('the daemon of the primary dies while the slot of a replica that leaves is removed: no log is kept for it, and it joins again', async () => {
  await arm('alpha', 'file-renamed@slots.json');
  await cluster.node('beta').mars('resource', 'leave', NAME, '--yes');
  const alpha = cluster.node('alpha');
  await comesBack(alpha);
  await cluster.wait('no log to be kept for beta', 90_000, async () => {
    const {log} = await cluster.status('alpha', NAME);
    return (log.slots ?? []).length === 0;
  });
  await write('alpha');
  await cluster.joinResource('beta', NAME);
  await settles('primary,secondary');
});

test.run();
