/**
 * Private servers of the system's sshd, one for a node, with keys, ports and a client's config of
 * their own: nothing of the machine's own ssh is read or written. `mars` over there is the node's.
 */
import {spawn, type ChildProcess} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {freePort} from './cluster.js';
import {run, until} from './run.js';
import {killAndWait} from './temp-home.js';

const SSHD = '/usr/sbin/sshd';
const PROGRAM = path.join(import.meta.dirname, '../../bin/run.js');

/** Why no sshd can be started here; undefined where one can. */
export function noSshd(): string | undefined {
  if (!fs.existsSync(SSHD)) return `no ${SSHD} (Debian: openssh-server)`;
  return process.getuid?.() === 0 ? undefined : 'not root';
}

/** Keys and config of the user that calls; MARS_SSH makes daemons use them. */
export class SshUser {
  readonly directory: string;
  readonly #hosts: string[] = [];

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async create(): Promise<SshUser> {
    const base = process.env['MARS_TEST_DIR'] ?? '/var/tmp';
    const user = new SshUser(fs.mkdtempSync(path.join(base, 'mars-ssh-')));
    await makeKey(user.path('id'));
    fs.copyFileSync(user.path('id.pub'), user.path('authorized'));
    fs.writeFileSync(user.path('known'), '');
    user.#writeConfig();
    const script = `#!/bin/sh\nexec ssh -F ${user.path('config')} "$@"\n`;
    fs.writeFileSync(user.path('ssh'), script, {mode: 0o755});
    process.env['MARS_SSH'] = user.path('ssh');
    return user;
  }

  path(name: string): string {
    return path.join(this.directory, name);
  }

  /** The server is reached by this name from now on; its key is known. */
  addHost(name: string, port: number): void {
    this.#hosts.push(`Host ${name}\n  HostName 127.0.0.1\n  Port ${port}`);
    this.#writeConfig();
  }

  /** What is known of the host keys, as one line for each host. */
  setKnown(lines: readonly string[]): void {
    fs.writeFileSync(this.path('known'), lines.map((line) => `${line}\n`).join(''));
  }

  dispose(): void {
    delete process.env['MARS_SSH'];
    fs.rmSync(this.directory, {recursive: true, force: true});
  }

  #writeConfig(): void {
    const common = [
      `IdentityFile ${this.path('id')}`,
      `UserKnownHostsFile ${this.path('known')}`,
      ...['GlobalKnownHostsFile /dev/null', 'IdentitiesOnly yes', 'IdentityAgent none'],
      ...['StrictHostKeyChecking yes', 'User root', 'LogLevel ERROR'],
    ];
    const text = [...this.#hosts, `Host *\n  ${common.join('\n  ')}`].join('\n');
    fs.writeFileSync(this.path('config'), `${text}\n`);
  }
}

/** One server, which is killed and started again at will. */
export class Sshd {
  readonly port: number;
  /** The line that known_hosts needs. */
  readonly known: string;
  readonly #config: string;
  #child: ChildProcess | undefined;

  private constructor(config: string, port: number, known: string) {
    this.#config = config;
    this.port = port;
    this.known = known;
  }

  /**
   * @param name what the client's config calls it
   * @param home the node that `mars` is there
   */
  static async create(user: SshUser, name: string, home: string): Promise<Sshd> {
    // Where it drops its privileges to; Debian's own service makes it.
    fs.mkdirSync('/run/sshd', {recursive: true, mode: 0o755});
    const port = await freePort();
    const key = user.path(`${name}-host`);
    await makeKey(key);
    const bin = user.path(`${name}-bin`);
    fs.mkdirSync(bin);
    const script = `#!/bin/sh\nexec ${process.execPath} ${PROGRAM} "$@" --home ${home}\n`;
    fs.writeFileSync(path.join(bin, 'mars'), script, {mode: 0o755});
    const config = user.path(`${name}-sshd`);
    const lines = [
      ...[`ListenAddress 127.0.0.1:${port}`, `HostKey ${key}`, 'PidFile none', 'UsePAM no'],
      ...[`AuthorizedKeysFile ${user.path('authorized')}`, 'StrictModes no'],
      ...['PermitRootLogin prohibit-password', 'PasswordAuthentication no', 'PrintMotd no'],
      // Nor does the shell over there read what root's starts with.
      `SetEnv PATH=${bin}:/usr/local/bin:/usr/bin:/bin HOME=${user.path('')}`,
    ];
    fs.writeFileSync(config, `${lines.join('\n')}\n`);
    user.addHost(name, port);
    const known = `[127.0.0.1]:${port} ${fs.readFileSync(`${key}.pub`, 'utf8').trim()}`;
    const server = new Sshd(config, port, known);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const child = spawn(SSHD, ['-D', '-e', '-f', this.#config], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.stdout.resume();
    this.#child = child;
    await until(
      () => {
        if (child.exitCode !== null) throw new Error(`sshd ended at once: ${said}`);
        return said.includes('Server listening');
      },
      20_000,
      'sshd that listens',
    );
  }

  /** SIGKILL of the server and of all sessions in it. */
  async kill(): Promise<void> {
    const pid = this.#child?.pid;
    this.#child = undefined;
    if (pid === undefined) return;
    for (const each of [...descendantsOf(pid), pid]) await killAndWait(each);
  }
}

async function makeKey(file: string): Promise<void> {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file]);
}

/** Sessions are in sessions of their own: no process group has them all. */
function descendantsOf(pid: number): number[] {
  let text = '';
  try {
    text = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  } catch {
    return []; // It has ended.
  }

  const children = text.split(' ').filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}
