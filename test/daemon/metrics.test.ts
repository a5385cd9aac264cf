/** `GET /v1/metrics`: what Prometheus reads of a node. */
import http from 'node:http';
import os from 'node:os';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceStatus, StatusDocument} from '../../src/control/api.js';
import {DISK_COUNTERS, type DiskStatus} from '../../src/core/disk-status.js';
import {homePaths} from '../../src/core/home.js';
import {MIB} from '../../src/core/units.js';
import {spaceOf} from '../../src/daemon/file-system-space.js';
import {renderMetrics} from '../../src/daemon/metrics.js';
import {fakeFollow, fakeReplica, fakeStatus, fakeStatusDocument} from '../helpers/fake-daemon.js';
import {startFakeNode} from './fake-node.js';
import {disk} from './replication/samples.js';

type Samples = ReadonlyMap<string, number>;

/** Each sample by its name with labels, as it stands in the text. */
function parseSamples(text: string): Samples {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const pairs = lines.map((line): [string, number] => {
    const at = line.lastIndexOf(' ');
    return [line.slice(0, at), Number(line.slice(at + 1))];
  });
  const samples = new Map(pairs);
  assert.is(samples.size, lines.length, 'each sample stands there once');
  return samples;
}

async function samplesOf(
  resources: ResourceStatus[],
  disks: Record<string, DiskStatus> = {},
): Promise<Samples> {
  const {text} = await renderMetrics({
    ...{version: '1.2.3', startedAt: '2026-11-22T10:00:00.000Z'},
    status: fakeStatusDocument(...resources),
    disks: new Map(Object.entries(disks)),
  });
  return parseSamples(text);
}

test('the node, a resource, its log and its replicas', async () => {
  const replicas = [
    fakeReplica('beta', {lagSeconds: 2.5, lagBytes: 77}),
    fakeReplica('gamma', {link: 'down', state: 'OutDated[F]', lagSeconds: 40, lagBytes: null}),
  ];
  const samples = await samplesOf([fakeStatus('web', {replicas})]);
  const expected = {
    'mars_daemon_info{version="1.2.3",node="alpha"}': 1,
    mars_daemon_start_time_seconds: Date.parse('2026-11-22T10:00:00Z') / 1000,
    'mars_resource_health{resource="web",health="ok"}': 0,
    'mars_resource_health{resource="web",health="warning"}': 1,
    'mars_resource_state{resource="web",state="UpToDate"}': 1,
    'mars_resource_role{resource="web",role="primary"}': 1,
    'mars_resource_size_bytes{resource="web"}': 10_737_418_240,
    'mars_log_files{resource="web"}': 12,
    'mars_log_bytes{resource="web"}': 805_306_368,
    'mars_log_unreplayed_bytes{resource="web"}': 4096,
    'mars_log_filesystem_free_bytes{resource="web"}': 500_000,
    'mars_log_filesystem_size_bytes{resource="web"}': 1_000_000,
    'mars_replica_up{resource="web",replica="beta"}': 1,
    'mars_replica_lag_seconds{resource="web",replica="beta"}': 2.5,
    'mars_replica_lag_bytes{resource="web",replica="beta"}': 77,
    'mars_replica_up{resource="web",replica="gamma"}': 0,
    'mars_replica_lag_seconds{resource="web",replica="gamma"}': 40,
    'mars_replica_state{resource="web",replica="gamma",state="OutDated[F]"}': 1,
    'mars_disk_up{resource="web"}': 0,
  };
  for (const [sample, value] of Object.entries(expected)) {
    assert.is(samples.get(sample), value, sample);
  }
});

test('what is not known has no sample, a primary no lag, and a node without a replica no log', async () => {
  const replicas = [fakeReplica('beta', {role: 'primary'}), fakeReplica('c', {lagSeconds: null})];
  const unknown = {position: null, openCount: null, replicas};
  const log = {files: 0, bytes: 0, capBytes: null, firstPosition: null};
  const elsewhere = fakeStatus('db', {state: 'NotJoined', role: 'none', log});
  const samples = await samplesOf([fakeStatus('web', unknown), elsewhere]);
  const names = [...samples.keys()];
  const has = (start: string): boolean => names.some((name) => name.startsWith(start));
  assert.ok(has('mars_replica_lag_bytes{resource="web",replica="c"'));
  assert.not.ok(has('mars_replica_lag_seconds'));
  assert.not.ok(has('mars_replica_lag_bytes{resource="web",replica="beta"'));
  assert.not.ok(has('mars_log_unreplayed_bytes'));
  assert.not.ok(has('mars_log_cap_bytes'));
  assert.not.ok(has('mars_resource_openers{resource="web"'));
  assert.not.ok(has('mars_log_bytes{resource="db"'));
  assert.not.ok(has('mars_disk_up{resource="db"'));
});

test('a secondary is a replica by the name of its node, with its copy', async () => {
  const sync = {percent: 50, doneBytes: 5, totalBytes: 10};
  const follow = fakeFollow({connected: false, lagSeconds: 9, sync});
  const samples = await samplesOf([fakeStatus('web', {role: 'secondary', follow})]);
  const labels = '{resource="web",replica="alpha"}';
  assert.is(samples.get(`mars_replica_up${labels}`), 0);
  assert.is(samples.get(`mars_replica_lag_seconds${labels}`), 9);
  assert.is(samples.get(`mars_replica_sync_done_bytes${labels}`), 5);
  assert.is(samples.get(`mars_replica_sync_total_bytes${labels}`), 10);
});

test('each counter of a disk process is there with its value, also 0', async () => {
  const counters = Object.fromEntries(DISK_COUNTERS.map((name, at) => [name, at * 10]));
  const samples = await samplesOf([fakeStatus('web')], {
    web: disk({counters: counters as DiskStatus['counters'], restarts: 3}),
  });
  const values = [...samples]
    .filter(([name]) => name.endsWith('_total{resource="web"}'))
    .map(([, value]) => value);
  assert.equal(
    values.sort((left, right) => left - right),
    DISK_COUNTERS.map((_, at) => at * 10),
  );
  assert.is(samples.get('mars_disk_written_bytes_total{resource="web"}'), 30);
  assert.is(samples.get('mars_disk_restarts{resource="web"}'), 3);
  assert.is(samples.get('mars_disk_up{resource="web"}'), 1);
});

test('a counter that an older disk process lacks is left out', async () => {
  const {writes, ...older} = disk().counters;
  assert.is(writes, 0);
  const counters = older as DiskStatus['counters'];
  const samples = await samplesOf([fakeStatus('web')], {web: disk({counters})});
  assert.not.ok(samples.has('mars_disk_writes_total{resource="web"}'));
  assert.is(samples.get('mars_disk_reads_total{resource="web"}'), 0);
});

test('latency is a histogram: buckets add up, the last is all, with sum and count', async () => {
  const none = {counts: [], sumSeconds: 0};
  const write = {counts: [5, 0, 2], sumSeconds: 0.25};
  const samples = await samplesOf([fakeStatus('web')], {
    web: disk({latencies: {write, flush: none, replay: none}}),
    // An older one, which does not count.
    db: disk(),
  });
  const name = 'mars_disk_write_latency_seconds';
  assert.is(samples.get(`${name}_bucket{resource="web",le="0.000004"}`), 5);
  assert.is(samples.get(`${name}_bucket{resource="web",le="0.000008"}`), 5);
  assert.is(samples.get(`${name}_bucket{resource="web",le="0.000016"}`), 7);
  assert.is(samples.get(`${name}_bucket{resource="web",le="67.108864"}`), 7);
  assert.is(samples.get(`${name}_bucket{resource="web",le="+Inf"}`), 7);
  assert.is(samples.get(`${name}_sum{resource="web"}`), 0.25);
  assert.is(samples.get(`${name}_count{resource="web"}`), 7);
  assert.is(samples.get('mars_disk_flush_latency_seconds_count{resource="web"}'), 0);
  assert.is(samples.get('mars_disk_replay_latency_seconds_count{resource="web"}'), 0);
  assert.not([...samples.keys()].some((key) => /latency.*resource="db"/u.test(key)));
});

test('names are lower case with one prefix, and each has a help and a type', async () => {
  const status = fakeStatusDocument(fakeStatus('web', {replicas: [fakeReplica('beta')]}));
  const input = {version: '1', startedAt: '2026-11-22T10:00:00Z', status};
  const counted = {counts: [1], sumSeconds: 1};
  const latencies = {write: counted, flush: counted, replay: counted};
  const disks = new Map([['web', disk({latencies})]]);
  const {text} = await renderMetrics({...input, disks});
  const bare = [...parseSamples(text).keys()].map((key) => key.replace(/\{.*/u, ''));
  const names = new Set(bare.map((key) => key.replace(/_(?:bucket|sum|count)$/u, '')));
  assert.ok(names.size > 20);
  for (const name of names) {
    assert.match(name, /^mars(?:_[a-z]+)+$/u);
    assert.match(text, new RegExp(`^# HELP ${name} \\S`, 'mu'));
    const isHistogram = name.endsWith('_latency_seconds');
    const type = isHistogram ? 'histogram' : name.endsWith('_total') ? 'counter' : 'gauge';
    assert.match(text, new RegExp(`^# TYPE ${name} ${type}$`, 'mu'));
  }
});

test('the daemon answers with them on its socket, and tells the free space', async () => {
  const node = await startFakeNode();
  try {
    const settings = {device: 'off'};
    await node.call('POST', 'resources', {name: 'web01', sizeBytes: 4 * MIB, settings});
    const {type, text} = await readText(node.home, '/v1/metrics');
    assert.match(type, /^text\/plain; version=0\.0\.4/u);
    const samples = parseSamples(text);
    assert.is(samples.get('mars_resource_health{resource="web01",health="ok"}'), 1);
    assert.is(samples.get('mars_disk_up{resource="web01"}'), 1);
    assert.is(samples.get('mars_disk_restarts{resource="web01"}'), 0);
    const status = await node.call<StatusDocument>('GET', 'status');
    const space = status.resources[0]?.log.fileSystem;
    assert.ok(space != null && space.totalBytes > space.freeBytes && space.freeBytes > 0);
    const size = samples.get('mars_log_filesystem_size_bytes{resource="web01"}');
    assert.is(size, space.totalBytes);
  } finally {
    await node.close();
  }
});

test('the space of a place that is not there is not known', async () => {
  assert.is(await spaceOf(join(os.tmpdir(), 'mars-no-such-place')), null);
  assert.ok(((await spaceOf(os.tmpdir()))?.totalBytes ?? 0) > 0);
});

function readText(home: string, path: string): Promise<{type: string; text: string}> {
  return new Promise((resolve, reject) => {
    const {daemonSocket} = homePaths(home);
    const request = http.get({socketPath: daemonSocket, path, agent: false}, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('error', reject);
      response.on('end', () => {
        resolve({type: response.headers['content-type'] ?? '', text});
      });
    });
    request.on('error', reject);
  });
}

test.run();
