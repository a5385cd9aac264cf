import fs from 'node:fs';

const UNIT_DEFAULT = 'mars.service';

/**
 * The systemd unit whose main process this is; undefined: it was started by hand, or by another
 * program that systemd had started.
 */
export function ownUnit(): string | undefined {
  // Set by systemd for the process that it executes: systemd.exec(5).
  if (process.env['SYSTEMD_EXEC_PID'] !== String(process.pid)) return undefined;
  try {
    const groups = fs.readFileSync('/proc/self/cgroup', 'utf8');
    return /\/([^/\n]+\.service)$/mu.exec(groups)?.[1] ?? UNIT_DEFAULT;
  } catch {
    return UNIT_DEFAULT;
  }
}
