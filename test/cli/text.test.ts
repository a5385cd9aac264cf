/** The small pieces that text is made of. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {nearMatches} from '../../src/cli/near-matches.js';
import {choosePaint} from '../../src/cli/paint.js';
import {startProgress} from '../../src/cli/progress.js';
import {isFit, renderChecks, sortChecks} from '../../src/cli/render-doctor.js';
import {moveGlobalFlags} from '../../src/cli/run-cli.js';
import {renderTable, shorten} from '../../src/cli/table.js';
import {formatSeconds, formatSince, formatTime} from '../../src/cli/times.js';
import {remarkWhile} from '../../src/cli/waiting.js';
import {wrapText} from '../../src/cli/wrap-text.js';
import type {MachineCheck} from '../../src/core/machine.js';
import type {Daemon} from '../../src/cli/daemon.js';
import {fakeView} from '../helpers/fake-daemon.js';

test('text is wrapped at spaces, and a long word stays whole', () => {
  assert.equal(wrapText('aa bb cc', {width: 5, hanging: ' '}), ['aa bb', ' cc']);
  assert.equal(wrapText('a /very/long/path b', {width: 6}), ['a', '/very/long/path', 'b']);
  assert.equal(wrapText('a\nb', {hanging: '  '}), ['a', '  b']);
  assert.equal(wrapText(''), ['']);
});

test('tables are aligned, and the first column gives way', () => {
  assert.equal(renderTable(['NAME', 'B'], [['x', '1']]), ['NAME      B', 'x         1']);
  const rows = renderTable(['NAME', 'B'], [['y'.repeat(40), 'z'.repeat(10)]], 32);
  assert.is(rows[1]?.length, 32);
  assert.is(shorten('abcdefghij', 5), 'ab…ij');
  assert.is(shorten('abc', 3), 'abc');
});

test('durations and times are short', () => {
  const cases: [number, string][] = [
    [0, '0.0 s'],
    [9.94, '9.9 s'],
    [10, '10 s'],
    [119, '119 s'],
    [120, '2 min'],
    [7200, '2 h'],
    [172_800, '2 d'],
    [-5, '0.0 s'],
    [Number.NaN, '?'],
  ];
  for (const [seconds, text] of cases) assert.is(formatSeconds(seconds), text);
  assert.is(formatTime('2026-11-22T10:00:00.123Z'), '2026-11-22 10:00:00Z');
  assert.is(formatTime('never'), 'never');
  assert.is(formatSince('never', 0), 'never');
});

test('colours are for terminals whose user wants them', () => {
  const paint = (isTTY: boolean, environment: Record<string, string>): string =>
    choosePaint({isTTY}, environment)('red', 'x');
  assert.is(paint(false, {}), 'x');
  assert.is(paint(true, {NO_COLOR: '1'}), 'x');
  assert.is(paint(true, {TERM: 'dumb'}), 'x');
  assert.is(paint(true, {}), '\u001B[31mx\u001B[39m');
});

test('near matches come nearest first', () => {
  assert.equal(nearMatches('statsu', ['status', 'state', 'secondary']), ['status', 'state']);
  assert.equal(nearMatches('zzzz', ['status']), []);
});

test('global flags may stand before the command', () => {
  const cases: [string, string][] = [
    ['--home h status', 'status --home h'],
    ['--json --home=h status web', 'status web --json --home=h'],
    ['--home h explain -- -x', 'explain --home h -- -x'],
    ['status --home h', 'status --home h'],
    ['--home', '--home'],
    ['--help', '--help'],
  ];
  for (const [typed, moved] of cases) assert.is(moveGlobalFlags(typed.split(' ')).join(' '), moved);
});

test('progress elsewhere than on a terminal is a line now and then', async () => {
  let text = '';
  let nowMs = 0;
  const stream = {isTTY: false, write: (part: string) => (text += part)};
  const progress = await startProgress({
    ...{label: 'verify', totalBytes: 1024 * 100, monotonicMs: () => nowMs},
    stream: stream as unknown as NodeJS.WriteStream,
  });
  nowMs = 2000;
  progress.update(1024);
  assert.is(text, '');
  nowMs = 4000;
  progress.update(1024 * 50);
  progress.end();
  assert.is(text, 'verify 50 %: 50 KiB of 100 KiB, 12.5 KiB/s, 4.0 s left\n');
});

test('who is waited for is told, again and again', async () => {
  const remarks: string[] = [];
  let end = (): void => undefined;
  const action = new Promise<void>((resolve) => (end = resolve));
  const disk = {phase: 'replaying', waiting: null, replay: {backlogBytes: 4096}};
  const daemon = {get: () => Promise.resolve(fakeView('web', {disk: disk as never}))};
  await remarkWhile(action, {
    ...{name: 'web', goal: 'become secondary', timeoutSeconds: 60, intervalMs: 1},
    daemon: daemon as unknown as Daemon,
    remark: (text) => {
      remarks.push(text);
      if (remarks.length === 2) end();
    },
  });
  assert.match(remarks[1] ?? '', /^web: waits to become secondary, .* 60 s: 4 KiB to replay$/u);
});

test('what is missing comes first, an old kernel before all', () => {
  const check = (name: string, changes: Partial<MachineCheck>): MachineCheck => ({
    ...{name, ok: true, level: 'critical', found: `found ${name}`, remedy: '', code: 'BUG'},
    ...changes,
  });
  const checks = sortChecks([
    check('fine', {}),
    check('small', {ok: false, level: 'info', remedy: 'do a'}),
    check('fuse', {ok: false, level: 'critical', remedy: 'do b', code: 'FUSE_MISSING'}),
    check('kernel', {ok: false, level: 'warning', remedy: 'do c', code: 'KERNEL_OLD'}),
  ]);
  assert.equal(
    checks.map(({name}) => name),
    ['kernel', 'fuse', 'small', 'fine'],
  );
  assert.not.ok(isFit(checks));
  const text = renderChecks(checks, (_colour, part) => part);
  assert.match(text, /^this machine cannot serve disks: 1 critical\n\nwarning +kernel/u);
  assert.match(text, /do: do b \(FUSE_MISSING\)/u);
});

test.run();
