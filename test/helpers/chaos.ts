/** SIGKILL in the middle of work. */
import {killAndWait, type TempHome} from './temp-home.js';
import {until} from './run.js';

/**
 * Runs `work` while the disk process is killed every `intervalMs`, and is up again each time
 * before the next kill.
 *
 * @returns how often it was killed
 */
export async function killingDisk(
  node: TempHome,
  name: string,
  intervalMs: number,
  work: (kills: () => number) => Promise<unknown>,
): Promise<number> {
  let kills = 0;
  const ended = new AbortController();
  const job = work(() => kills).finally(() => {
    ended.abort();
  });
  const killer = (async () => {
    for (;;) {
      const start = performance.now();
      const due = (): boolean => performance.now() - start > intervalMs;
      await until(() => ended.signal.aborted || due(), intervalMs * 2 + 5000, 'next kill');
      if (ended.signal.aborted) return;
      const {pid} = await node.diskProcesses(name);
      await killAndWait(pid);
      kills += 1;
      await until(
        async () => {
          const status = await node.diskStatus(name);
          return status !== undefined && status.pid !== pid && status.phase === 'serving';
        },
        30_000,
        `disk process after kill ${kills}`,
      );
    }
  })();
  // Whichever fails first is the message; neither may be left unhandled.
  await Promise.all([job, killer]);
  return kills;
}

/** SIGKILL of holder, disk process and daemon at one moment, as a crash of the machine would. */
export async function killAll(node: TempHome, name: string): Promise<void> {
  const {holderPid, pid} = await node.diskProcesses(name);
  process.kill(holderPid, 'SIGKILL');
  process.kill(pid, 'SIGKILL');
  await node.killDaemon();
  await killAndWait(pid);
  await killAndWait(holderPid);
}
