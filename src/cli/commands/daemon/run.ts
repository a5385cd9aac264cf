import {existsSync} from 'node:fs';
import {Flags} from '@oclif/core';
import type {DaemonStatus} from '../../../control/api.js';
import {
  armByEnvironment,
  CRASH_POINTS,
  CRASH_VARIABLE,
  parseCrashPlan,
} from '../../../core/crash-points.js';
import {DiskError, isDiskError} from '../../../core/errors.js';
import {homePaths} from '../../../core/home.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon} from '../../daemon.js';
import {becomeDaemon} from '../../daemon-program.js';
import {requireRoot} from '../../root-user.js';

export default class DaemonRun extends MarsCommand {
  static override description =
    'Logs are one JSON object per line. Ends on SIGTERM and Ctrl-C; disks go on.';
  static override examples = ['<%= config.bin %> <%= command.id %>'];
  static override flags = {
    // For tests only (docs/TESTING.md).
    'error-injection-phase': Flags.string({
      description: 'die by SIGKILL at a crash point: NAME[@FILE][:N], or list',
      helpValue: 'PHASE',
      hidden: true,
    }),
  };
  static override summary = 'run the daemon of this node in the foreground';

  async run(): Promise<void> {
    const {flags} = await this.parse(DaemonRun);
    const phase = flags['error-injection-phase'];
    if (phase === 'list') {
      this.log(crashPoints());
      return;
    }

    if (phase !== undefined) arm(phase);
    requireRoot('daemon run');
    if (!existsSync(homePaths(flags.home).nodeFile)) {
      throw new DiskError('NOT_INITIALISED', `there is no node at ${flags.home}: type mars init`, {
        home: flags.home,
      });
    }

    await refuseSecond(flags.home);
    // A command ends when its reader goes away; a daemon does not end with who read its log.
    process.stdout.removeAllListeners('error');
    process.stdout.on('error', () => undefined);
    await becomeDaemon(flags.home);
  }
}

/** Daemon and disk processes read it when they start. */
function arm(phase: string): void {
  if (parseCrashPlan(phase) === undefined) {
    const text = `expected NAME[@FILE][:N] with the name or the number of a crash point, got '${phase}': mars daemon run --error-injection-phase list`;
    throw new DiskError('USAGE', text);
  }

  process.env[CRASH_VARIABLE] = phase;
  armByEnvironment();
}

/** Number, name and meaning, one a line. */
function crashPoints(): string {
  return Object.entries(CRASH_POINTS)
    .map(([name, words], index) => `${String(index + 1).padStart(3)} ${name.padEnd(26)} ${words}`)
    .join('\n');
}

/** The lock decides; this only tells it in the words of a command, with the pid. */
async function refuseSecond(home: string): Promise<void> {
  try {
    const {pid} = await connectDaemon(home).get<DaemonStatus>('/v1/daemon');
    if (pid === null) return;
    throw new DiskError('DAEMON_RUNNING', `a daemon runs at ${home}: pid ${pid}`, {home, pid});
  } catch (error) {
    if (!isDiskError(error, 'DAEMON_UNREACHABLE')) throw error;
  }
}
