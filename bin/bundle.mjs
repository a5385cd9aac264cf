// Third part of `npm run build`: the CLI with oclif, the daemon, and the disk process in few files below
// dist/bundle/, as loading several hundred small ones takes most of the time in which they start. They are
// run while they are as new as dist/ (src/core/bundle.ts); a bundle is made from what tsc has made, so that
// the two say the same.
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

/** The daemon, and the threads of a disk process: one file each, as a bundle may be made anew under them. */
const programs = ['daemon/program', 'disk/program'].concat(
  ['front', 'commit', 'replay'].map((role) => `disk/${role}-thread`),
);

// Files that find programs beside themselves find them where tsc has put them; a disk process finds its
// threads in the bundle.
const places = {
  name: 'places',
  setup({onLoad}) {
    onLoad({filter: new RegExp('/dist/.*[.]js$')}, ({path: file}) => {
      const text = fs.readFileSync(file, 'utf8');
      const isBeside = file.endsWith('/disk/start-thread.js');
      if (isBeside || !text.includes('import.meta.url')) return undefined;
      const place = `(distDirectory + ${JSON.stringify(path.relative(dist, file))})`;
      return {contents: text.replaceAll('import.meta.url', place), loader: 'js'};
    });
  },
};

for (const left of [made, former]) fs.rmSync(left, {recursive: true, force: true});
const common = {
  absWorkingDir: dist,
  outdir: made,
  ...{bundle: true, format: 'esm', platform: 'node', target: 'node20'},
  plugins: [places],
  banner: {
    js: `import {createRequire as createRequireHere} from 'node:module';
const require = createRequireHere(import.meta.url);
const distDirectory = import.meta.url.slice(0, import.meta.url.lastIndexOf('/bundle/') + 1);`,
  },
  metafile: true,
  legalComments: 'none',
  logLevel: 'warning',
};
const results = await Promise.all([
  build({
    ...common,
    entryPoints: ['cli/bundled.js', ...commands],
    outbase: 'cli',
    splitting: true,
    // Only where sources are run, and then by bin/dev.js.
    external: ['typescript', 'ts-node', 'tsx'],
  }),
  build({...common, entryPoints: programs.map((program) => `${program}.js`), outbase: '.'}),
]);
// With the mark of a build: there may be commands that are not in here.
const inputs = results.flatMap(({metafile}) => Object.keys(metafile.inputs));
const ours = ['.built', ...new Set(inputs.filter((file) => !file.startsWith('../')))];
fs.writeFileSync(path.join(made, 'inputs.json'), JSON.stringify(ours));
// A command that starts just now finds the one or the other.
if (fs.existsSync(target)) fs.renameSync(target, former);
fs.renameSync(made, target);
fs.rmSync(former, {recursive: true, force: true});
