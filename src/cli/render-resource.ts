/** One resource, its log and its replay, for people. */
import type {DeleteResult, LogList, ReplayView, ResourceView} from '../control/api.js';
import {countOf, latencyQuantile, type Latencies} from '../core/latency.js';
import {formatBytes} from '../core/units.js';
import type {MoveDocument} from './move.js';
import {describeVerified} from './render-verify.js';
import {renderTable} from './table.js';
import {formatLatency, formatTime} from './times.js';
import {wrapText} from './wrap-text.js';

/** Ranges that differ; --json has more. */
const RANGES_SHOWN = 8;

/** A line for each resource. */
export function renderResourceList(resources: readonly ResourceView[]): string {
  if (resources.length === 0) {
    return (
      'no resources yet: mars resource create NAME --size 10G; or mars resource join NAME,\n' +
      'where mars status shows one of another node'
    );
  }

  const rows = resources.map((one) => [
    one.name,
    formatBytes(one.sizeBytes),
    one.role,
    one.attached ? 'attached' : 'detached',
    one.device ?? one.image ?? '-',
  ]);
  return renderTable(['NAME', 'SIZE', 'ROLE', 'SWITCH', 'USE'], rows).join('\n');
}

/** All that is known of one resource, a line for each fact. */
export function renderResource(one: ResourceView): string {
  const fields: [string, string][] = [
    ['size', `${formatBytes(one.sizeBytes)} (${one.sizeBytes} bytes)`],
    ['id', one.id],
    ['created', formatTime(one.createdAt)],
    ['backing', one.imagePath],
    ['role', one.role],
    ['attached', one.attached ? 'yes' : 'no'],
    ['image', one.image ?? '-'],
    ['device', one.device ?? '-'],
    ...verifiedOf(one),
    ['disk process', one.disk === null ? '-' : `pid ${one.disk.pid}, ${one.disk.phase}`],
    ...latencyFields(one.disk?.latencies),
    ...Object.entries(one.settings).map(([key, value]): [string, string] => [`set ${key}`, value]),
  ];
  const width = Math.max(...fields.map(([name]) => name.length));
  return [one.name, ...fields.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)].join(
    '\n',
  );
}

/** Since the disk process started; none for what was not done. */
function latencyFields(latencies: Latencies | undefined): [string, string][] {
  return Object.entries(latencies ?? {}).flatMap(([kind, histogram]): [string, string][] => {
    const [half, most] = [0.5, 0.99].map((part) => latencyQuantile(histogram, part));
    if (half == null || most == null) return [];
    const text = `p50 ${formatLatency(half)}, p99 ${formatLatency(most)}, ${countOf(histogram)} timed`;
    return [[`${kind} latency`, text]];
  });
}

/** What the last comparison of the replica here found; nothing where there are no others. */
function verifiedOf({verify}: ResourceView): [string, string][] {
  if (verify === undefined) return [];
  const ranges = (verify?.ranges ?? [])
    .slice(0, RANGES_SHOWN)
    .map(({offset, length}): [string, string] => ['differs', `offset ${offset}, ${length} bytes`]);
  const at: [string, string][] = verify?.position == null ? [] : [['verified at', verify.position]];
  return [['verified', describeVerified(verify, Date.now())], ...at, ...ranges];
}

/**
 * One line that tells what an action led to, with the place where the disk can be used; then what
 * there is to know besides.
 */
export function renderOutcome(one: ResourceView): string {
  const attached = one.attached ? '' : ', detached';
  const place = one.device ?? one.image;
  const head = `${one.name}: ${one.role}${attached}${place === null ? '' : `, use it at ${place}`}`;
  const notes = (one.notes ?? []).flatMap((note) => wrapText(`  note: ${note}`, {hanging: '  '}));
  return [head, ...notes].join('\n');
}

/** What `resource create` made, and the next step. */
export function renderCreated(one: ResourceView): string {
  const next = one.role === 'primary' ? '' : `\nnext: mars primary ${one.name}`;
  return `created, with its content in ${one.imagePath}\n${renderOutcome(one)}${next}`;
}

/** What `resource join` made, and the next step. */
export function renderJoined(one: ResourceView): string {
  const next = `next: mars wait ${one.name} synced`;
  return [`joined, with its content in ${one.imagePath}`, renderOutcome(one), next].join('\n');
}

/** What went and what stayed, or would; a line for each path. */
export function renderRemoval({dryRun, removes, keeps, notes = []}: DeleteResult): string {
  const [removed, kept] = dryRun ? ['would remove', 'would keep'] : ['removed', 'kept'];
  return [
    ...removes.map(({path, bytes}) => `${removed} ${path} (${formatBytes(bytes)})`),
    ...keeps.map((path) => `${kept} ${path}`),
    ...notes.flatMap((note) => wrapText(`note: ${note}`, {hanging: '      '})),
  ].join('\n');
}

/** A line for each logfile; wider than 80 columns only by long node names. */
export function renderLogList(log: LogList): string {
  const rows = log.files.map((file) => [
    file.file,
    file.start,
    file.end ?? '-',
    formatBytes(file.bytes),
    file.sealed ? 'sealed' : 'open',
  ]);
  const {files, bytes} = log.spares;
  const used = log.files.reduce((sum, file) => sum + file.bytes, 0);
  return [
    ...renderTable(['FILE', 'START', 'END', 'BYTES', 'STATE'], rows, 120),
    `${formatBytes(used)} of log; free for it: ${formatBytes(bytes)} in ${files} spare files`,
  ].join('\n');
}

/** How far replay is, on one line. */
export function renderReplay(one: ReplayView): string {
  const behind = one.backlogBytes === null ? 'unknown' : formatBytes(one.backlogBytes);
  const paused = one.paused ? ' (pause wished)' : '';
  return `${one.name}: replay ${one.state}${paused}, ${behind} to replay`;
}

/** The steps of a move, and how far it is. */
export function renderMove({name, from, to, steps}: MoveDocument): string {
  const rows = steps.map(({step, state, text}) => [step, state === 'todo' ? 'to do' : state, text]);
  return [`move ${name} from ${from} to ${to}:`, ...renderTable(['STEP', 'STATE', ''], rows)].join(
    '\n',
  );
}
