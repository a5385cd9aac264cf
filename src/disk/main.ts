/** `node dist/disk/main.js`: the disk process (program.ts: read that first), from its bundle where there is one. */
import {programUrl} from '../core/bundle.js';

await import(programUrl(import.meta.url, 'disk'));
