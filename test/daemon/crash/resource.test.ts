/** A death while a resource is made, joined, grown, deleted, and while its slots move. */
import fs from 'node:fs';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {systemClock} from '../../../src/core/clock.js';
import {setCrashHandler, type CrashPoint} from '../../../src/core/crash-points.js';
import {createNodeFiles} from '../../../src/core/files.js';
import {resourcePaths} from '../../../src/core/home.js';
import {createResource, removeResource, removeUnfinished} from '../../../src/daemon/create.js';
import {resize, takeSize} from '../../../src/daemon/operations.js';
import {Slots} from '../../../src/daemon/replication/slots.js';
import {readResource} from '../../../src/daemon/state.js';
import {growImage} from '../../../src/disk/grow-image.js';
import {COMMAND, WORD} from '../../../src/disk/shared.js';
import {readSyncState} from '../../../src/disk/sync-state.js';
import {SimCrash} from '../../sim/sim-disk.js';
import {PATHS, Rig} from '../../disk/rig.js';
import {assertArea} from './areas.js';
import {CrashNode, NAME, passedPoints, sweep} from './crash-rig.js';
import {standIn} from './stand-in.js';

const MADE = 'made';
const SIZE = 4 * 2 ** 20;
const ORIGIN = {
  id: 'c'.repeat(32),
  sizeBytes: SIZE,
  createdAt: '2026-11-22T10:00:00.000Z',
  segmentBytes: 4 * 2 ** 20,
  alignmentBytes: 8,
};

function prepared(): CrashNode {
  const node = new CrashNode('alpha');
  node.begin(1, {position: 0, chain: {low: 0, high: 0}});
  node.write(1, 2);
  node.stopWriting();
  return node;
}

async function make(node: CrashNode, joins: boolean): Promise<void> {
  const request = {name: MADE, sizeBytes: SIZE, activate: false};
  await createResource(node.context, request, new Map(), joins ? ORIGIN : undefined);
}

for (const joins of [false, true]) {
  test(`a death while a resource is ${joins ? 'joined' : 'created'}: it is whole, or there is nothing`, async () => {
    const moments = await sweep({
      nodes: [prepared()],
      work: ([node]) => make(node as CrashNode, joins),
      checks: [
        async ([node]) => {
          assert.ok(node);
          removeUnfinished(node.context);
          const {directory, image} = resourcePaths(node.home, MADE);
          if (!fs.existsSync(directory)) await make(node, joins);
          assert.is(readResource(node.home, MADE)?.sizeBytes, SIZE);
          assert.is(fs.statSync(image).size, SIZE);
          const sync = readSyncState(createNodeFiles(), node.home, MADE);
          assert.is(sync?.state, joins ? 'empty' : undefined, 'an image to be copied says so');
          const left = fs.readdirSync(node.context.paths.resourcesDirectory);
          assert.equal(left.sort(), [MADE, NAME]);
        },
      ],
    });
    assert.ok(moments > 2, `${moments} moments`);
  });
}

test('a death while a resource is deleted: it goes at the next start, with its image elsewhere', async () => {
  const node = prepared();
  // No image may lie below /dev, as the homes here do.
  const directory = fs.mkdtempSync('/var/tmp/mars-crash-');
  const image = join(directory, 'elsewhere.img');
  try {
    const request = {name: MADE, sizeBytes: SIZE, activate: false, image};
    const {file} = await createResource(node.context, request, new Map());
    const moments = await sweep({
      nodes: [node],
      work: () => removeResource(node.context, file, join(node.home, 'link')),
      checks: [
        ([started]) => {
          assert.ok(started);
          fs.writeFileSync(image, 'as it was');
          removeUnfinished(started.context);
          assert.not.ok(fs.existsSync(resourcePaths(started.home, MADE).directory));
          assert.not.ok(fs.existsSync(image), 'the image goes with it');
          assert.equal(fs.readdirSync(started.context.paths.resourcesDirectory), [NAME]);
        },
      ],
    });
    assert.ok(moments > 0, `${moments} moments`);
  } finally {
    fs.rmSync(directory, {recursive: true});
  }
});

test('a death while a disk is grown: resource.json takes what the log has, and it can be grown again', async () => {
  const node = prepared();
  const before = node.resource.file.sizeBytes;
  /** What the log says: a RESIZE is in it when the disk process has answered. */
  let logged = before;
  const grow = async (which: CrashNode): Promise<void> => {
    const {sizeBytes} = which.resource.file;
    const status = () => ({...which.followStatus(), mode: 'serve' as const, sizeBytes: logged});
    const process = await standIn(which.paths.socket, status, (path) => {
      if (path !== '/resize') return;
      growImage(createNodeFiles(), which.paths.image, 2 * before);
      logged = 2 * before;
    });
    try {
      assert.ok(sizeBytes <= 2 * before);
      await resize(which.context, which.resource, {sizeBytes: 2 * before});
    } finally {
      await process.close();
    }
  };
  const moments = await sweep({
    nodes: [node],
    work: () => grow(node),
    checks: [
      async ([started]) => {
        assert.ok(started);
        takeSize(started.resource);
        assert.ok(fs.statSync(started.paths.image).size >= started.resource.file.sizeBytes);
        await grow(started);
        assert.is(readSize(started), 2 * before);
      },
    ],
  });
  assert.ok(moments > 2, `${moments} moments`);
});

function readSize({paths}: CrashNode): unknown {
  const file = JSON.parse(fs.readFileSync(paths.resourceFile, 'utf8')) as {sizeBytes: unknown};
  return file.sizeBytes;
}

test('a death, or power loss, while the log takes a new size: the disk has the old or the new one, and all its data', () => {
  for (const point of ['resize-image', 'resize-logged'] as const) {
    for (const death of ['kill', 'crash'] as const) {
      const rig = new Rig();
      rig.write(0, 8192);
      rig.flushed();
      const before = rig.model.length;
      const grow = (): void => {
        growImage(rig.files, PATHS.image, 2 * before);
        rig.life.shared.commandArgument.set(2 * before);
        rig.life.shared.set(WORD.command, COMMAND.resize);
        rig.life.front.afterRequest();
      };
      setCrashHandler((passed: CrashPoint) => {
        passedPoints.add(passed);
        if (passed === point) rig.files.die(point);
      });
      assert.throws(grow, (error: unknown) => error instanceof SimCrash);
      setCrashHandler(undefined);
      rig[death]();
      const size = rig.life.shared.diskSize.get();
      assert.ok(size === before || size === 2 * before, `${size} bytes after ${death} at ${point}`);
      rig.assertReads();
      grow();
      rig.flushed();
      rig.crash();
      assert.is(rig.life.shared.diskSize.get(), 2 * before);
      rig.assertReads();
    }
  }
});

test('a death while slots are set, moved, let go and forgotten: what a replica was promised is in the file', async () => {
  const node = prepared();
  const path = node.paths.slotsFile;
  /** From where log was promised, by the id of the node. */
  const promised = new Map<string, number>();
  const moments = await sweep({
    nodes: [node],
    note: () => new Map(promised),
    work: () => {
      const slots = new Slots(path, systemClock);
      const pin = (id: string, position: number): void => {
        slots.pin(id, id, position);
        promised.set(id, position);
      };
      pin('beta', 4096);
      pin('gamma', 8192);
      slots.advance('beta', 16_384);
      promised.set('beta', 16_384);
      slots.flush(true);
      // Set back for a copy.
      promised.delete('beta');
      pin('beta', 2048);
      promised.delete('gamma');
      slots.drop('gamma');
      promised.delete('beta');
      slots.forget('beta');
    },
    checks: [
      (_, {noted}) => {
        const slots = new Slots(path, systemClock);
        for (const [id, position] of noted as typeof promised) {
          const slot = slots.all.get(id);
          assert.ok(slot !== undefined, `the slot of ${id} is there`);
          assert.ok(slot.position <= position, `${id} has log from ${slot.position} on`);
        }

        assert.not.ok(slots.all.has('gamma') && slots.isDropped('gamma'), 'kept, or let go');
      },
    ],
  });
  assert.ok(moments > 8, `${moments} moments`);
});

test('no crash point of a resource is dead', () => {
  assertArea('resource', passedPoints);
});

test.run();
