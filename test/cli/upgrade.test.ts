/** What `daemon upgrade` does before it touches anything, and where a step fails. */
import fs from 'node:fs';
import path from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {connectDaemon} from '../../src/cli/daemon.js';
import {upgrade, type UpgradeDocument, type UpgradeOptions} from '../../src/cli/upgrade.js';
import {DiskError, isDiskError} from '../../src/core/errors.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';

const test = suite<{node: FakeNode; installation: string}>('upgrade');

const DAEMON = {schema: 1, pid: 41, version: '0.1.0', startedAt: null, unit: null, disks: []};
const RESOURCES = {schema: 1, resources: [{name: 'db'}, {name: 'mail'}, {name: 'web'}]};
const GOOD = 'process.exitCode = 0;\n';

test.before.each(async (context) => {
  context.node = await startFakeNode();
  context.installation = path.join(context.node.home, 'installation');
  for (const part of ['daemon', 'disk']) install(context.installation, part, GOOD);
  context.node.daemon.answers.set('GET /v1/daemon', DAEMON);
  context.node.daemon.answers.set('GET /v1/resources', RESOURCES);
});

test.after.each(async ({node}) => {
  await node.dispose();
});

function install(installation: string, part: string, program: string): void {
  const directory = path.join(installation, 'dist', part);
  fs.mkdirSync(directory, {recursive: true});
  fs.writeFileSync(path.join(directory, 'main.js'), program);
}

function begin(
  {node, installation}: {node: FakeNode; installation: string},
  more: Partial<UpgradeOptions> = {},
): Promise<UpgradeDocument> {
  return upgrade({
    ...{daemon: connectDaemon(node.home), installation, version: '0.2.0', disksOnly: false},
    ...{timeoutSeconds: 20, remark: () => undefined, shown: () => undefined},
    failed: () => undefined,
    ...more,
  });
}

async function failureOf(work: Promise<unknown>): Promise<DiskError> {
  try {
    await work;
  } catch (error) {
    if (isDiskError(error)) return error;
    throw error;
  }

  throw new Error('it did not fail');
}

test('a program that does not load is found before anything is restarted', async (context) => {
  for (const part of ['daemon', 'disk']) {
    install(context.installation, part, "import './gone.js';\n");
    const {code, message} = await failureOf(begin(context));
    assert.is(code, 'UPGRADE_FAILED');
    assert.match(message, `dist/${part}/main.js does not start here, nothing was restarted`);
    install(context.installation, part, GOOD);
  }

  assert.equal([...new Set(context.node.daemon.lines)], ['GET /v1/daemon']);
});

test('a daemon that is process 1 of a container is not restarted', async (context) => {
  context.node.daemon.answers.set('GET /v1/daemon', {...DAEMON, pid: 1});
  const {code, message} = await failureOf(begin(context));
  assert.is(code, 'RENEW_REFUSED');
  assert.match(message, '--disks-only');
  assert.equal(context.node.daemon.lines, ['GET /v1/daemon']);
});

test('a unit that starts another installation is told, and no disk is renewed with it', async (context) => {
  const {node} = context;
  node.daemon.answers.set('POST /v1/daemon/restart', () => {
    node.daemon.answers.set('GET /v1/daemon', {...DAEMON, pid: 42});
    return {};
  });
  const {code, message} = await failureOf(begin(context));
  assert.is(code, 'UPGRADE_FAILED');
  assert.match(message, 'came up is 0.1.0, installed here is 0.2.0');
  assert.not.ok(node.daemon.lines.some((line) => line.includes('/renew')));
});

test('a disk that does not come up is the last one that is touched', async (context) => {
  const {node} = context;
  const process = {pid: 1000, version: '0.1.0'};
  const renewed = {schema: 1, name: 'db', mode: 'serve', before: process, after: process};
  node.daemon.answers.set('POST /v1/resources/db/renew', renewed);
  node.daemon.answers.set('POST /v1/resources/mail/renew', () => {
    throw new DiskError('UPGRADE_FAILED', 'mail does not come up');
  });
  const document = await begin(context, {disksOnly: true});
  assert.equal(
    document.disks.map(({name}) => name),
    ['db'],
  );
  assert.equal(
    document.errors.map(({name, error}) => [name, error.code]),
    [
      ['mail', 'UPGRADE_FAILED'],
      ['web', 'RENEW_REFUSED'],
    ],
  );
  assert.not.ok(node.daemon.lines.includes('POST /v1/resources/web/renew'));
});

test('a disk that refuses for now does not keep the others from it', async (context) => {
  const {node} = context;
  const result = {schema: 1, mode: null, before: null, after: null};
  node.daemon.answers.set('POST /v1/resources/db/renew', () => {
    throw new DiskError('RENEW_REFUSED', 'flushes wait');
  });
  for (const name of ['mail', 'web']) {
    node.daemon.answers.set(`POST /v1/resources/${name}/renew`, {...result, name});
  }

  const document = await begin(context, {disksOnly: true});
  assert.equal(
    document.disks.map(({name}) => name),
    ['mail', 'web'],
  );
  assert.equal(document.daemon.before, document.daemon.after);
});

test.run();
