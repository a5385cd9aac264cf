// Second half of `npm run build`: what tsc does not copy, and what it does not remove.
import fs from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const source = path.join(root, 'src');
const target = path.join(root, 'dist');

/** Files that are run as they are: path below src/ and dist/. */
const EXECUTABLES = ['disk/holder.sh', 'disk/moment/moment.sh'];

for (const file of EXECUTABLES) {
  if (!fs.existsSync(path.join(source, file))) continue;
  // A holder may be running this very file: replace it by rename, never write into it, as a shell
  // reads its script while it runs.
  const temporary = path.join(target, `${file}.new`);
  fs.mkdirSync(path.dirname(temporary), {recursive: true});
  fs.copyFileSync(path.join(source, file), temporary);
  fs.chmodSync(temporary, 0o755);
  fs.renameSync(temporary, path.join(target, file));
}

removeOrphans();
fs.writeFileSync(path.join(target, '.built'), '');

/** A command whose source was removed would still be found by oclif: remove its output too. */
function removeOrphans() {
  for (const entry of fs.readdirSync(target, {recursive: true, withFileTypes: true})) {
    if (!entry.isFile() || !/\.js(\.map)?$/u.test(entry.name)) continue;
    const file = path.join(entry.parentPath, entry.name);
    if (file.startsWith(path.join(target, 'bundle'))) continue;
    const origin = path.relative(target, file).replace(/\.js(\.map)?$/u, '.ts');
    if (!fs.existsSync(path.join(source, origin))) fs.rmSync(file);
  }
}
