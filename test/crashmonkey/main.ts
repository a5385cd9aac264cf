/** `npm run crashmonkey -- [--fs ext4|xfs] [--operations 3] [--first N] [--count N] [--subsets N] [--seed S]` */
import {parseArgs} from 'node:util';
import {TempHome} from '../helpers/temp-home.js';
import {runMonkey, type FileSystemType} from './monkey.js';
import {enumerateWorkloads} from './workloads.js';

const ROUND_SIZE = 48;
const FAULTS_SHOWN_MAX = 20;

const {values} = parseArgs({
  options: {
    fs: {type: 'string', default: 'ext4,xfs'},
    operations: {type: 'string', default: '3'},
    first: {type: 'string', default: '0'},
    count: {type: 'string', default: '1000000'},
    subsets: {type: 'string', default: '2'},
    states: {type: 'string', default: '1000000'},
    seed: {type: 'string', default: '1'},
  },
});
const first = Number(values.first);
const all = enumerateWorkloads(Number(values.operations));
const workloads = all.slice(first, first + Number(values.count));
process.stdout.write(`${workloads.length} of ${all.length} workloads, from number ${first}\n`);
const node = await TempHome.create();
let faults = 0;
try {
  for (const type of values.fs.split(',') as FileSystemType[]) {
    const startedMs = performance.now();
    const total = await runMonkey({
      ...{node, type, workloads, roundSize: ROUND_SIZE, seed: Number(values.seed)},
      ...{subsets: Number(values.subsets), statesMax: Number(values.states)},
      onRound: ({workloads: count, states, judged, faults: found}) => {
        const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
        const words = `${count} workloads, ${states} states, ${judged} judged, ${found.length} faults`;
        process.stdout.write(`${type}: ${words}, ${seconds} s\n`);
      },
    });
    for (const fault of total.faults.slice(0, FAULTS_SHOWN_MAX)) process.stdout.write(`${fault}\n`);
    faults += total.faults.length;
  }
} catch (error) {
  process.stdout.write(`${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
  // What the node has is taken away while this process exits.
  process.exit(1);
}

await node.dispose();

process.exit(faults === 0 ? 0 : 1);
