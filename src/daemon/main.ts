/** `node dist/daemon/main.js`: the daemon (program.ts), from its bundle where there is one. */
import {programUrl} from '../core/bundle.js';

await import(programUrl(import.meta.url, 'daemon'));
