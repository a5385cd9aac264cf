import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceView, StatusDocument} from '../../src/control/api.js';
import {isDiskError} from '../../src/core/errors.js';
import {MIB} from '../../src/core/units.js';
import {startFakeNode, type FakeNode} from './fake-node.js';

const test = suite<{node: FakeNode}>('concurrency');

test.before.each(async (context) => {
  context.node = await startFakeNode();
});
test.after.each(async (context) => {
  await context.node.close();
});

const BODY = {name: 'web01', sizeBytes: MIB, settings: {device: 'off'}};

/** The code of a failed call, `done` otherwise. */
async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'done';
  } catch (error) {
    if (isDiskError(error)) return error.code;
    throw error;
  }
}

test('of creations of one name at once, one is done', async ({node}) => {
  const calls = Array.from({length: 5}, () => outcome(node.call('POST', 'resources', BODY)));
  const outcomes = await Promise.all(calls);
  assert.is(outcomes.filter((code) => code === 'done').length, 1);
  assert.is(outcomes.filter((code) => code === 'RESOURCE_EXISTS').length, 4);
});

test('of creations with one image at once, one is done', async ({node}) => {
  const image = join(node.home, 'shared.img');
  const create = (name: string): Promise<string> =>
    outcome(node.call('POST', 'resources', {...BODY, name, image}));
  const outcomes = await Promise.all(['a', 'b', 'c'].map(create));
  assert.equal(outcomes.sort(), ['IMAGE_IN_USE', 'IMAGE_IN_USE', 'done']);
  assert.ok(fs.existsSync(image));
});

test('roles asked for at once are taken one by one, and the last one counts', async ({node}) => {
  await node.call('POST', 'resources', BODY);
  const ask = (verb: string): Promise<string> =>
    outcome(node.call('POST', `resources/web01/${verb}`, {}));
  const status = (): Promise<string> => outcome(node.call('GET', 'status'));
  const verbs = ['secondary', 'primary', 'secondary', 'primary', 'primary', 'secondary', 'primary'];
  const outcomes = await Promise.all(verbs.flatMap((verb) => [ask(verb), status()]));
  assert.equal(new Set(outcomes), new Set(['done']));
  const view = await node.call<ResourceView>('GET', 'resources/web01');
  assert.is(view.role, 'primary');
});

test('what waits behind a delete is told that the resource is gone', async ({node}) => {
  await node.call('POST', 'resources', BODY);
  await node.call('POST', 'resources/web01/secondary', {});
  const outcomes = await Promise.all([
    outcome(node.call('DELETE', 'resources/web01', {confirmed: true})),
    outcome(node.call('POST', 'resources/web01/primary', {})),
    outcome(node.call('POST', 'resources/web01/set', {settings: {device: 'on'}})),
  ]);
  assert.equal(outcomes, ['done', 'RESOURCE_UNKNOWN', 'RESOURCE_UNKNOWN']);
  assert.equal(fs.readdirSync(join(node.home, 'resources')), []);
  const {resources} = await node.call<StatusDocument>('GET', 'status');
  assert.equal(resources, []);
});

test.run();
