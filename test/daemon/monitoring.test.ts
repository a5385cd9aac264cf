/** Alert rules and board name metrics that exist; the port for Prometheus follows the setting. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {MetricsListenView} from '../../src/control/daemon-api.js';
import {homePaths} from '../../src/core/home.js';
import {renderMetrics} from '../../src/daemon/metrics.js';
import {parseMetricsListen} from '../../src/daemon/metrics-port.js';
import {fakeReplica, fakeStatus, fakeStatusDocument, fakeVerify} from '../helpers/fake-daemon.js';
import {freePort} from '../helpers/cluster.js';
import {rejectsWith, startFakeNode, until} from './fake-node.js';
import {disk} from './replication/samples.js';

const DOCS = path.join(import.meta.dirname, '..', '..', 'docs');

/** All metrics that there can be, by name. */
async function knownNames(): Promise<ReadonlySet<string>> {
  const counted = {counts: [1], sumSeconds: 1};
  const sync = {percent: 50, doneBytes: 5, totalBytes: 10};
  const verify = fakeVerify({differentBytes: 4096});
  const slot = {node: 'beta', position: '0', bytes: 1, ageSeconds: 1, at: ''};
  const base = fakeStatus('web');
  const slowed = {bytesPerSecond: 1, since: '', reason: ''};
  const fileSystem = {freeBytes: 1, totalBytes: 2, reserveBytes: 1, fullInSeconds: 1};
  const kept = {capBytes: 1, ageLimitSeconds: 1, slots: [slot]};
  const log = {...base.log, ...kept, fileSystem, slowed};
  const {text} = await renderMetrics({
    ...{version: '1', startedAt: '2026-11-22T10:00:00Z'},
    status: fakeStatusDocument({...base, log, replicas: [fakeReplica('beta', {sync, verify})]}),
    disks: new Map([['web', disk({latencies: {write: counted, flush: counted, replay: counted}})]]),
  });
  const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gmu)].flatMap(([, name = '', type]) =>
    type === 'histogram'
      ? ['', '_bucket', '_sum', '_count'].map((part) => `${name}${part}`)
      : [name],
  );
  return new Set(names);
}

for (const file of ['monitoring/alert-rules.yml', 'monitoring/grafana.json', 'OPERATING.md']) {
  test(`each metric in docs/${file} exists`, async () => {
    const known = await knownNames();
    const text = fs.readFileSync(path.join(DOCS, file), 'utf8');
    const named = [...text.matchAll(/\bmars_[a-z_]+[a-z]\b/gu)].map(([name]) => name);
    assert.ok(named.length > 10);
    assert.equal(
      named.filter((name) => !known.has(name)),
      [],
    );
  });
}

test('the board is JSON, each of its panels asks for something, and the rules name each once', () => {
  const board = JSON.parse(fs.readFileSync(path.join(DOCS, 'monitoring/grafana.json'), 'utf8')) as {
    readonly panels: readonly {readonly targets: readonly {readonly expr: string}[]}[];
  };
  assert.ok(board.panels.length >= 8);
  for (const {targets} of board.panels) assert.ok(targets.every(({expr}) => expr !== ''));
  const rules = fs.readFileSync(path.join(DOCS, 'monitoring/alert-rules.yml'), 'utf8');
  const alerts = [...rules.matchAll(/- alert: (\w+)\n {8}expr: (.+)\n/gu)];
  assert.is(new Set(alerts.map(([, name]) => name)).size, rules.split('- alert:').length - 1);
});

test('only addresses of this machine are taken', () => {
  for (const [text, isTaken] of [
    ['127.0.0.1:9464', true],
    ['[::1]:9464', true],
    ['localhost:9464', true],
    ['0.0.0.0:9464', false],
    [':9464', false],
    ['10.0.0.1:9464', false],
    ['127.0.0.1', false],
    ['127.0.0.1:99999', false],
  ] as const) {
    assert.is(parseMetricsListen(text) !== undefined, isTaken, text);
  }
});

test('the port opens, moves and closes as it is wished, also by hand, and never elsewhere', async () => {
  const node = await startFakeNode();
  try {
    const [first, second] = [await freePort(), await freePort()];
    const set = (listen: string | null) =>
      node.call<MetricsListenView>('POST', 'metrics-listen', {listen});
    const read = async (port: number, page = 'metrics'): Promise<string | undefined> => {
      const response = await fetch(`http://127.0.0.1:${port}/${page}`).catch(() => undefined);
      return response?.ok === true ? response.text() : undefined;
    };
    assert.is((await node.call<MetricsListenView>('GET', 'metrics-listen')).listen, null);
    assert.equal(await set(`127.0.0.1:${first}`), {
      ...{schema: 1, listen: `127.0.0.1:${first}`, served: true},
    });
    assert.match((await read(first)) ?? '', /^mars_daemon_info\{/mu);
    assert.is(await read(first, 'v1/status'), undefined);
    await rejectsWith('KEY_UNKNOWN', set('0.0.0.0:1'));
    await set(`127.0.0.1:${second}`);
    assert.is(await read(first), undefined);
    assert.match((await read(second)) ?? '', /mars_daemon_info/u);
    await set(null);
    assert.is(await read(second), undefined);
    const {nodeFile} = homePaths(node.home);
    const file = JSON.parse(fs.readFileSync(nodeFile, 'utf8')) as object;
    assert.not('metricsListen' in file);
    fs.writeFileSync(nodeFile, JSON.stringify({...file, metricsListen: `127.0.0.1:${first}`}));
    await until(async () => (await read(first)) !== undefined, 'the port of the edited file');
  } finally {
    await node.close();
  }
});

test.run();
