/** `npm run power-loss -- [--seeds 20] [--start 1] [--losses 3] [--pieces 20] [--lies]` */
import {parseArgs} from 'node:util';
import {losePower} from './rig.js';

const {values} = parseArgs({
  options: {
    seeds: {type: 'string', default: '20'},
    start: {type: 'string', default: '1'},
    losses: {type: 'string', default: '3'},
    pieces: {type: 'string', default: '20'},
    lies: {type: 'boolean', default: false},
  },
});
let failures = 0;
const start = Number(values.start);
for (let seed = start; seed < start + Number(values.seeds); seed += 1) {
  const startedMs = performance.now();
  try {
    const {pieces} = await losePower({
      ...{seed, losses: Number(values.losses), piecesLeast: Number(values.pieces)},
      lies: values.lies,
    });
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    process.stdout.write(`seed ${seed}: ${pieces} pieces of work are there, ${seconds} s\n`);
  } catch (error) {
    failures += 1;
    process.stdout.write(`FAILED ${error instanceof Error ? error.message : String(error)}\n`);
  }
}

process.exit(failures === 0 ? 0 : 1);
