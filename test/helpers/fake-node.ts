/** A home with a fake daemon in it, for tests of commands. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {initHome} from '../../src/cli/init-home.js';
import {FakeDaemon} from './fake-daemon.js';
import {runCommand, type CommandResult} from './run-command.js';

export interface FakeNode {
  readonly home: string;
  readonly daemon: FakeDaemon;
  /** Runs a command at this home: `run('resource create', 'web', '--size', '1G')`. */
  run(words: string, ...argv: string[]): Promise<CommandResult>;
  /** The same with --json; the document is stdout parsed. */
  json(words: string, ...argv: string[]): Promise<JsonResult>;
  dispose(): Promise<void>;
}

export interface JsonResult {
  readonly document: Record<string, unknown>;
  readonly exit: number;
  readonly stderr: string;
}

/** A new directory of the test's own; the caller removes it. */
export function makeTempDirectory(): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), 'mars-cli-'));
}

export async function startFakeNode(): Promise<FakeNode> {
  const directory = makeTempDirectory();
  const home = path.join(directory, 'home');
  const places = {mounts: path.join(home, 'mnt'), devices: path.join(home, 'dev')};
  initHome({home, name: 'alpha', ...places, listen: null}, Date.parse('2026-11-22T10:00:00Z'));
  const daemon = await FakeDaemon.start(home);
  const run = (words: string, ...argv: string[]): Promise<CommandResult> =>
    runCommand(words, ...argv, '--home', home);
  return {
    home,
    daemon,
    run,
    json: async (words, ...argv) => {
      const {stdout, stderr, exit} = await run(words, ...argv, '--json');
      return {document: JSON.parse(stdout) as Record<string, unknown>, stderr, exit};
    },
    dispose: async () => {
      await daemon.stop();
      fs.rmSync(directory, {recursive: true, force: true});
    },
  };
}
