/** The synchronous modes in the disk process: the mode, the daemon's stream and the timer together. */
import type {DiskSynchronous} from '../core/disk-status.js';
import {resourcePaths} from '../core/home.js';
import {modeOf, type ModeSettings} from '../core/mode.js';
import {formatPosition, parsePosition} from '../core/position.js';
import {ConfirmPort} from './confirm-port.js';
import type {DiskConfig} from './config.js';
import type {DiskProcess} from './process.js';
import {SYNC_STEP_MS, SyncMode, type Want} from './sync-mode.js';

/** What a process that serves needs for its mode; one for its life. */
export class Synchronous {
  readonly port: ConfirmPort;
  readonly #disk: DiskProcess;
  readonly #mode: SyncMode;
  #epoch: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** Flushes wait as resource.json says, from here on. */
  constructor(disk: DiskProcess, config: DiskConfig) {
    this.#disk = disk;
    const {files, clock, home, name} = disk.options;
    const {directory, degradedFile} = resourcePaths(home, name);
    this.port = new ConfirmPort({
      clock,
      onOpen: () => {
        this.#mode.daemonCame();
      },
      onConfirmed: ({node, name: nodeName, epoch, received, durable}) => {
        this.#mode.confirm(epoch, {
          node,
          name: nodeName,
          received: parsePosition(received) ?? 0,
          durable: parsePosition(durable) ?? 0,
        });
      },
    });
    this.#mode = new SyncMode({
      files,
      clock,
      shared: disk.shared,
      notices: disk.notices,
      directory,
      degradedFile,
      event: (input) => {
        disk.event(input);
      },
      ask: (want) => this.#ask(want),
    });
    this.#mode.start(modeOf(config.resource));
    this.#schedule();
  }

  /** Flushes wait for nobody else. */
  get isAsynchronous(): boolean {
    return this.#mode.settings.mode === 'async';
  }

  configure(settings: ModeSettings): void {
    this.#mode.configure(settings);
    this.#schedule();
  }

  activated(epoch: string): void {
    this.#epoch = epoch;
    this.#mode.activated(epoch);
  }

  flushWaits(): void {
    this.#mode.flushWaits();
  }

  status(): DiskSynchronous | null {
    return this.#mode.status(this.port.isUp);
  }

  #ask({position, durably}: Want): boolean {
    const {shared} = this.#disk;
    if (this.#epoch === undefined) return false;
    return this.port.send({
      kind: 'want',
      position: formatPosition(position),
      durably,
      epoch: this.#epoch,
      appended: formatPosition(shared.appended.get()),
      durable: formatPosition(shared.durable.get()),
    });
  }

  #schedule(): void {
    clearInterval(this.#timer);
    if (this.#mode.settings.mode === 'async') return;
    this.#timer = setInterval(() => {
      this.port.step();
      this.#mode.step();
    }, SYNC_STEP_MS).unref();
  }
}
