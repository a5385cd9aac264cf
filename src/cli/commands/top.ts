import {setTimeout as pause} from 'node:timers/promises';
import {Flags} from '@oclif/core';
import {isDiskError} from '../../core/errors.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, type Daemon} from '../daemon.js';
import {renderFailure, toDiskError} from '../failure.js';
import {openFullScreen, type FullScreen} from '../full-screen.js';
import {hostFlag} from '../options.js';
import {choosePaint} from '../paint.js';
import {renderTop, SORTS, WIDE_COLUMNS, type Sort, type TopView} from '../render-top.js';
import {compareSamples, takeSample, type TopDocument, type TopSample} from '../top-sample.js';
import {WIDTH} from '../wrap-text.js';

/** A terminal that does not say how large it is. */
const LINES = 24;
/** Who is away for a while is asked again. */
const AWAY: readonly string[] = ['DAEMON_UNREACHABLE', 'PEER_UNREACHABLE', 'TIMEOUT'];

export default class Top extends MarsCommand {
  static override description =
    'On a terminal a full screen: q ends, p pauses, left and right choose the column to sort by, ' +
    'up and down scroll; where there is no room for all columns, l shows latency in the place of ' +
    'throughput. Elsewhere one snapshot. P and S are the roles, a small p one that is not ' +
    'as it is wished; LAG is that of the worst replica; WRITE50 is the time within which half of the ' +
    'writes were answered, WRITE99 that of 99 in 100.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --interval 5 --json',
  ];
  static override flags = {
    host: hostFlag,
    interval: Flags.integer({
      char: 'd',
      description: 'seconds between two looks',
      default: 2,
      min: 1,
      max: 3600,
      helpValue: 'S',
    }),
    batch: Flags.boolean({
      char: 'b',
      description: 'one snapshot, as where there is no terminal',
      default: false,
    }),
    sort: Flags.option({description: 'column to sort by', options: SORTS, default: 'name'})(),
  };
  static override summary = 'watch throughput and lag of all resources';

  async run(): Promise<TopDocument | undefined> {
    const {flags} = await this.parse(Top);
    const daemon = connectDaemon(flags.home, flags.host);
    const intervalMs = flags.interval * 1000;
    const isInteractive = process.stdout.isTTY && process.stdin.isTTY && !this.jsonEnabled();
    if (isInteractive && !flags.batch) {
      await watchTop(daemon, intervalMs, flags.sort);
      return undefined;
    }

    const before = await takeSample(daemon);
    await pause(intervalMs);
    const document = compareSamples(before, await takeSample(daemon));
    const view = {
      ...viewOf(flags.sort),
      columns: WIDE_COLUMNS,
      lines: Infinity,
      isInteractive: false,
    };
    this.log(renderTop(document, view));
    return document;
  }
}

function viewOf(sort: Sort): TopView {
  return {
    ...{sort, paused: false, offset: 0, isInteractive: true, showsLatency: false},
    columns: process.stdout.columns || WIDTH,
    lines: process.stdout.rows || LINES,
    paint: choosePaint(process.stdout),
  };
}

/** Until a key or a signal ends it; a daemon that is away for a while is shown, and asked again. */
async function watchTop(daemon: Daemon, intervalMs: number, sort: Sort): Promise<void> {
  const ended = new AbortController();
  const {signal} = ended;
  let view = viewOf(sort);
  let text = `looks at ${daemon.home} ...`;
  let document: TopDocument | undefined;
  const draw = (screen: FullScreen): void => {
    const {columns, lines} = viewOf(sort);
    view = {...view, columns, lines};
    screen.show(document === undefined ? text : renderTop(document, view));
  };
  const screen = openFullScreen(process.stdin, process.stdout, (key) => {
    if (key === 'quit') ended.abort();
    else if (key === 'pause') view = {...view, paused: !view.paused};
    else if (key === 'latency') view = {...view, showsLatency: !view.showsLatency};
    else if (key === 'up' || key === 'down') view = scrolled(view, document, key);
    else view = {...view, sort: nextSort(view.sort, key === 'right' ? 1 : -1)};
    draw(screen);
  });
  const redraw = (): void => {
    draw(screen);
  };
  process.stdout.on('resize', redraw);
  try {
    let before: TopSample | undefined;
    while (!signal.aborted) {
      try {
        const after = await takeSample(daemon);
        if (!view.paused) document = compareSamples(before ?? after, after);
        before = after;
      } catch (error) {
        if (!isDiskError(error) || !AWAY.includes(error.code)) throw error;
        text = renderFailure(toDiskError(error));
        document = undefined;
        before = undefined;
      }

      draw(screen);
      await pause(intervalMs, undefined, {signal}).catch(() => undefined);
    }
  } finally {
    process.stdout.off('resize', redraw);
    screen.close();
  }
}

function scrolled(view: TopView, document: TopDocument | undefined, key: 'up' | 'down'): TopView {
  const last = Math.max(0, (document?.resources.length ?? 1) - 1);
  const offset = view.offset + (key === 'down' ? 1 : -1);
  return {...view, offset: Math.min(last, Math.max(0, offset))};
}

function nextSort(sort: Sort, step: number): Sort {
  const at = (SORTS.indexOf(sort) + step + SORTS.length) % SORTS.length;
  return SORTS[at] ?? 'name';
}
