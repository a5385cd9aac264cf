import fs from 'node:fs';

/** Version of the installed program; read once, as an upgrade in place changes it. */
export function programVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  const {version} = JSON.parse(fs.readFileSync(file, 'utf8')) as {version: string};
  return version;
}
