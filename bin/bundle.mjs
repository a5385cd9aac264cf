// Third part of `npm run build`: the CLI and oclif in few files below dist/bundle/, as loading several
// hundred small ones takes most of the time of a command. bin/run.js runs it while it is as new as
// dist/; a bundle is made from what tsc has made, so that the two say the same.
import {build} from 'esbuild';
import fs from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const dist = path.join(root, 'dist');
const target = path.join(dist, 'bundle');
const [made, former] = [`${target}.new`, `${target}.old`];
const commands = fs
  .readdirSync(path.join(dist, 'cli/commands'), {recursive: true})
  .filter((name) => name.endsWith('.js'))
  .map((name) => path.join('cli/commands', name));

// Files that find programs beside themselves find them where tsc has put them.
const places = {
  name: 'places',
  setup({onLoad}) {
    onLoad({filter: new RegExp('/dist/.*[.]js$')}, ({path: file}) => {
      const text = fs.readFileSync(file, 'utf8');
      if (!text.includes('import.meta.url')) return undefined;
      const place = `(distDirectory + ${JSON.stringify(path.relative(dist, file))})`;
      return {contents: text.replaceAll('import.meta.url', place), loader: 'js'};
    });
  },
};

for (const left of [made, former]) fs.rmSync(left, {recursive: true, force: true});
const {metafile} = await build({
  absWorkingDir: dist,
  entryPoints: ['cli/bundled.js', ...commands],
  outdir: made,
  outbase: 'cli',
  ...{bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20'},
  // Only where sources are run, and then by bin/dev.js.
  external: ['typescript', 'ts-node', 'tsx'],
  plugins: [places],
  banner: {
    js: `import {createRequire as createRequireHere} from 'node:module';
const require = createRequireHere(import.meta.url);
const distDirectory = import.meta.url.slice(0, import.meta.url.lastIndexOf('/bundle/') + 1);`,
  },
  metafile: true,
  legalComments: 'none',
  logLevel: 'warning',
});
// With the mark of a build: there may be commands that are not in here.
const inputs = ['.built', ...Object.keys(metafile.inputs)].filter(
  (file) => !file.startsWith('../'),
);
fs.writeFileSync(path.join(made, 'inputs.json'), JSON.stringify(inputs));
// A command that starts just now finds the one or the other.
if (fs.existsSync(target)) fs.renameSync(target, former);
fs.renameSync(made, target);
fs.rmSync(former, {recursive: true, force: true});
