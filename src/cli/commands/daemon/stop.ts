import {setTimeout as pause} from 'node:timers/promises';
import {Flags} from '@oclif/core';
import type {DaemonStatus, StopRequest} from '../../../control/api.js';
import {diskSocketNames, listDisks} from '../../../control/disk-client.js';
import {DiskError, isDiskError} from '../../../core/errors.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, type Daemon} from '../../daemon.js';
import {timeoutFlag} from '../../options.js';

const POLL_MS = 50;

interface StopDocument {
  readonly schema: 1;
  /** Pid of the daemon that was stopped; null where none ran. */
  readonly stopped: number | null;
}

export default class DaemonStop extends MarsCommand {
  static override description =
    'Disks go on without the daemon. With --disks they end too, which is refused while one of ' +
    'them is open or mounted.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --disks',
  ];
  static override flags = {
    disks: Flags.boolean({description: 'also end the disk processes', default: false}),
    timeout: timeoutFlag(60),
  };
  static override summary = 'stop the daemon in order';

  async run(): Promise<StopDocument> {
    const {flags} = await this.parse(DaemonStop);
    const daemon = connectDaemon(flags.home);
    const pid = await this.#findDaemon(daemon, flags.disks);
    if (pid === null) {
      this.log(`no daemon runs at ${flags.home}: nothing to do`);
      return {schema: 1, stopped: null};
    }

    const deadlineMs = performance.now() + flags.timeout * 1000;
    const body: StopRequest = {disks: flags.disks, timeoutSeconds: flags.timeout};
    await daemon.post('/v1/daemon/stop', body, flags.timeout);
    await waitUntilGone(daemon, pid, deadlineMs);
    this.log(`daemon ${pid} has ended${flags.disks ? ', and its disks' : '; disks go on'}`);
    return {schema: 1, stopped: pid};
  }

  /** @throws DiskError DAEMON_UNREACHABLE where disks are to end and nobody can end them */
  async #findDaemon(daemon: Daemon, disks: boolean): Promise<number | null> {
    try {
      return (await daemon.get<DaemonStatus>('/v1/daemon')).pid;
    } catch (error) {
      if (!isDiskError(error, 'DAEMON_UNREACHABLE')) throw error;
      const running = disks ? await listDisks(daemon.home) : [];
      if (running.length === 0) return null;
      const names = running.map((disk) => disk.name).join(', ');
      throw new DiskError(
        'DAEMON_UNREACHABLE',
        `disks run (${names}), but no daemon that could end them: mars daemon run first`,
        {sockets: diskSocketNames(daemon.home).length},
        {cause: error},
      );
    }
  }
}

/** The daemon answers before it ends; done is when nobody listens any more. */
async function waitUntilGone(daemon: Daemon, pid: number, deadlineMs: number): Promise<void> {
  for (;;) {
    try {
      const status = await daemon.get<DaemonStatus>('/v1/daemon');
      if (status.pid !== pid) return;
    } catch (error) {
      if (isDiskError(error, 'DAEMON_UNREACHABLE')) return;
      throw error;
    }

    if (performance.now() > deadlineMs) {
      throw new DiskError('TIMEOUT', `the daemon (pid ${pid}) is still ending`, {pid});
    }

    await pause(POLL_MS);
  }
}
