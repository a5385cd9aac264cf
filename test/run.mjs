// `npm test`: loads tsx, then the runner proper. See test/runner/main.ts for the options.
import {register} from 'tsx/esm/api';

register();
const {main} = await import('./runner/main.ts');
process.exitCode = await main(process.argv.slice(2));
