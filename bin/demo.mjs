// `npm start`: loads tsx, then the demonstration proper. See demo/main.ts.
import {register} from 'tsx/esm/api';

register();
const {main} = await import('../demo/main.ts');
// A copy that was interrupted still has work under way: end, do not wait for it.
process.exit(await main(process.argv.slice(2)));
