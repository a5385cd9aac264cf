import {setTimeout as pause} from 'node:timers/promises';
import {Flags} from '@oclif/core';
import type {StatusDocument} from '../../control/api.js';
import {isDiskError} from '../../core/errors.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon, type Daemon} from '../daemon.js';
import {renderFailure, toDiskError} from '../failure.js';
import {hostFlag, optionalTargetArgument} from '../options.js';
import {choosePaint} from '../paint.js';
import {copyRates, isCopying, type CopyRates} from '../render-replicas.js';
import {HEALTH_EXIT, renderStatus, worstHealth} from '../render-status.js';

const CLEAR_SCREEN = '\u001B[H\u001B[J';

/** Between the two looks that tell how fast an image is copied. */
const RATE_INTERVAL_MS = 500;

export default class Status extends MarsCommand {
  static override aliases = ['view'];
  static override args = {name: optionalTargetArgument};
  static override description =
    'First whether all is well, then a line for each resource and its replicas, then for each ' +
    'trouble what, since when, why, and what to type.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> web01 -x --watch',
    '<%= config.bin %> <%= command.id %> --exit-code --json',
  ];
  static override flags = {
    host: hostFlag,
    extended: Flags.boolean({
      char: 'x',
      description: 'also positions, paths and counts',
      default: false,
    }),
    watch: Flags.boolean({
      char: 'w',
      description: 'show it again and again, until Ctrl-C',
      exclusive: ['json', 'exit-code'],
      default: false,
    }),
    interval: Flags.integer({
      description: 'seconds between two looks of --watch',
      default: 2,
      min: 1,
      max: 3600,
      helpValue: 'S',
    }),
    'exit-code': Flags.boolean({
      description: 'exit with 0 for OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN',
      default: false,
    }),
  };
  static override summary = 'show the state of all resources, or of one';

  async run(): Promise<StatusDocument | undefined> {
    const {args, flags} = await this.parse(Status);
    const daemon = connectDaemon(flags.home, flags.host);
    if (flags.watch) {
      return this.#watch(daemon, args.name, flags.extended, flags.interval * 1000);
    }

    let status: StatusDocument;
    try {
      status = await getStatus(daemon, args.name);
    } catch (error) {
      if (!flags['exit-code']) throw error;
      this.showFailure(error);
      this.exit(HEALTH_EXIT.unknown);
    }

    const look = process.stdout.isTTY && !this.jsonEnabled() && isCopying(status);
    const rates = look ? await measureRates(daemon, args.name, status) : new Map<string, number>();
    this.log(this.#render(status, flags.extended, rates));
    const exit = flags['exit-code'] ? HEALTH_EXIT[worstHealth(status.resources)] : 0;
    if (exit !== 0) this.finish(status, exit);
    return status;
  }

  /** Ends with the process; a daemon that is away for a while is shown, and asked again. */
  async #watch(
    daemon: Daemon,
    name: string | undefined,
    extended: boolean,
    intervalMs: number,
  ): Promise<never> {
    let before: {readonly status: StatusDocument; readonly atMs: number} | undefined;
    for (;;) {
      let text: string;
      try {
        const status = await getStatus(daemon, name);
        const atMs = performance.now();
        const seconds = (atMs - (before?.atMs ?? atMs)) / 1000;
        const rates = copyRates(before?.status ?? status, status, seconds);
        before = {status, atMs};
        text = this.#render(status, extended, rates);
      } catch (error) {
        if (!isDiskError(error, 'DAEMON_UNREACHABLE') && !isDiskError(error, 'TIMEOUT'))
          throw error;
        text = renderFailure(toDiskError(error));
      }

      this.log(process.stdout.isTTY ? `${CLEAR_SCREEN}${text}` : `${text}\n`);
      await pause(intervalMs);
    }
  }

  #render(status: StatusDocument, extended: boolean, rates: CopyRates): string {
    const paint = choosePaint(process.stdout);
    return renderStatus(status, {paint, nowMs: Date.now(), extended, rates});
  }
}

/** Looks a second time, for a person who looks once while an image is copied. */
async function measureRates(
  daemon: Daemon,
  name: string | undefined,
  status: StatusDocument,
): Promise<CopyRates> {
  const startedMs = performance.now();
  await pause(RATE_INTERVAL_MS);
  const after = await getStatus(daemon, name);
  return copyRates(status, after, (performance.now() - startedMs) / 1000);
}

function getStatus(daemon: Daemon, name: string | undefined): Promise<StatusDocument> {
  const query = name === undefined || name === 'all' ? '' : `?resource=${encodeURIComponent(name)}`;
  return daemon.get<StatusDocument>(`/v1/status${query}`);
}
