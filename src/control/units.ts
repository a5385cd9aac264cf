/**
 * The systemd units and the cron file of a node, as texts, and their installation. Where systemd
 * runs, its timer starts `mars cron`, and the line of the cron file does nothing.
 *
 * A disk must outlive the daemon and stop after the file systems on it: each has a unit of its own,
 * whose processes systemd does not kill at shutdown (argv[0] begins with '@': systemd, "storage
 * daemons for the root file system"), and which the daemon starts and stops.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {DiskError, storeError} from '../core/errors.js';

export interface UnitOptions {
  /** Home of the node: absolute. */
  readonly home: string;
  /** `process.execPath`. */
  readonly node: string;
  /** The directory that holds `bin` and `dist`. */
  readonly installation: string;
}

export interface UnitFile {
  /** Absolute, before `root` is put in front. */
  readonly path: string;
  readonly text: string;
}

const UNIT_DIRECTORY = '/etc/systemd/system';
const DISK_UNIT = `${UNIT_DIRECTORY}/mars-disk@.service`;

/** Quotes a word for a unit file: systemd.syntax(7), and `%` is a specifier there. */
function word(text: string): string {
  const escaped = text.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w./@%$:=-]+$/u.test(escaped)
    ? escaped
    : `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function daemonUnit({home, node, installation}: UnitOptions): string {
  const main = join(installation, 'dist/daemon/main.js');
  return `[Unit]
Description=mars: replicated virtual disks (daemon)
Documentation=file:${installation}/README.md
After=local-fs.target network.target
RequiresMountsFor=${word(home)}

[Service]
Type=exec
ExecStart=${word(node)} ${word(main)} --home ${word(home)}
# Disks are no part of the daemon: they go on while it restarts.
KillMode=process
Restart=on-failure
RestartSec=1s
OOMScoreAdjust=-500
LimitNOFILE=65536
LimitMEMLOCK=infinity

[Install]
WantedBy=multi-user.target
`;
}

function diskUnit({home, node, installation}: UnitOptions): string {
  const holder = join(installation, 'dist/disk/holder.sh');
  const main = join(installation, 'dist/disk/main.js');
  const run = join(home, 'run/disks');
  return `[Unit]
Description=mars: disk %i
Documentation=file:${installation}/README.md
# Started before what needs the disk, and so stopped after the file systems on it.
DefaultDependencies=no
After=local-fs-pre.target systemd-udevd.service
Before=remote-fs.target
Conflicts=umount.target
IgnoreOnIsolate=yes
RequiresMountsFor=${word(home)}

[Service]
Type=exec
EnvironmentFile=${run.replaceAll('%', '%%')}/%i.env
Environment=MARS_HOME=${word(home)} MARS_NODE=${word(node)} MARS_DISK_MAIN=${word(main)}
# '@' as the first letter of argv[0] keeps the process alive through the last kill at shutdown.
ExecStart=@/bin/sh @mars-disk ${word(holder)} ${word(home)} %i \${MARS_MOUNT} \${MARS_DRIVER} \${MARS_MODE}
StandardOutput=append:${run.replaceAll('%', '%%')}/%i.log
StandardError=inherit
# Ended by its unmount, never by a signal: a signal is an I/O error for the file system on it.
KillMode=none
SendSIGKILL=no
Restart=no
OOMScoreAdjust=-999
MemorySwapMax=0
LimitNOFILE=65536
LimitMEMLOCK=infinity
Delegate=no
`;
}

function cronUnit({home, node, installation}: UnitOptions): string {
  const program = join(installation, 'bin/run.js');
  return `[Unit]
Description=mars: housekeeping of logfiles
Documentation=file:${installation}/README.md
RequiresMountsFor=${word(home)}

[Service]
Type=oneshot
ExecStart=${word(node)} ${word(program)} cron --home ${word(home)}
Nice=10
IOSchedulingClass=idle
`;
}

const CRON_TIMER = `[Unit]
Description=mars: housekeeping of logfiles, every ten minutes

[Timer]
OnCalendar=*:0/10
RandomizedDelaySec=60
AccuracySec=60

[Install]
WantedBy=timers.target
`;

/** crontab(5): a `%` is the end of the command there, and the rest is sh. */
function cronFile({home, node, installation}: UnitOptions): string {
  const program = join(installation, 'bin/run.js');
  const words = [node, program, 'cron', '--home', home].map(shellWord).join(' ');
  return `# mars: housekeeping of logfiles, where no systemd does it. Errors are mailed.
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin
*/10 * * * * root [ -d /run/systemd/system ] || ${words.replaceAll('%', '\\%')} >/dev/null
`;
}

function shellWord(text: string): string {
  return /^[\w./@:=-]+$/u.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The files that `mars daemon install` writes. */
export function unitFiles(options: UnitOptions): UnitFile[] {
  return [
    {path: `${UNIT_DIRECTORY}/mars.service`, text: daemonUnit(options)},
    {path: DISK_UNIT, text: diskUnit(options)},
    {path: `${UNIT_DIRECTORY}/mars-cron.service`, text: cronUnit(options)},
    {path: `${UNIT_DIRECTORY}/mars-cron.timer`, text: CRON_TIMER},
    {path: '/etc/cron.d/mars', text: cronFile(options)},
  ];
}

/**
 * Writes the units below `root` (`/` for this machine).
 *
 * @param dryRun true: nothing is written
 * @returns the files with their real paths
 * @throws DiskError UNITS_OTHER_HOME: nothing was written; STORE_FULL, STORE_READ_ONLY, STORE_IO
 */
export function installUnits(options: UnitOptions, root: string, dryRun: boolean): UnitFile[] {
  const files = unitFiles(options).map(({path, text}) => ({path: join(root, path), text}));
  if (dryRun) return files;
  refuseOtherHome(options.home, join(root, DISK_UNIT));
  for (const {path, text} of files) {
    try {
      fs.mkdirSync(join(path, '..'), {recursive: true});
      fs.writeFileSync(`${path}.tmp`, text, {mode: 0o644});
      fs.renameSync(`${path}.tmp`, path);
    } catch (error) {
      throw storeError(error, `write ${path}`);
    }
  }

  return files;
}

/** The disks of another node would be started with this one's home at the next boot. */
function refuseOtherHome(home: string, unit: string): void {
  let text: string;
  try {
    text = fs.readFileSync(unit, 'utf8');
  } catch {
    return; // Not there, or not readable: then writing it says why.
  }

  const found = /^Environment=MARS_HOME=("(?:[^"\\]|\\.)*"|\S+)/mu.exec(text)?.[1];
  if (found === undefined || found === word(home)) return;
  throw new DiskError(
    'UNITS_OTHER_HOME',
    `expected ${unit} to be for ${home}, it is for ${found}`,
    {
      unit,
      home: found,
    },
  );
}

/** true where systemd runs this machine and has the disk unit of this home. */
export function diskUnitInstalled(home: string): boolean {
  if (!fs.existsSync('/run/systemd/system')) return false;
  try {
    return fs.readFileSync(DISK_UNIT, 'utf8').includes(`MARS_HOME=${word(home)} `);
  } catch {
    return false;
  }
}
