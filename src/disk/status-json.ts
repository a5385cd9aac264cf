import {formatPosition} from '../core/position.js';
import type {Shared} from './shared.js';

/** Content of `status.json` beside the image: the little that the fuse thread knows by itself. */
export function diskStatusJson(name: string, epoch: string, shared: Shared): string {
  const document = {
    schema: 1,
    name,
    epoch,
    sizeBytes: shared.diskSize.get(),
    position: formatPosition(shared.appended.get()),
    durable: formatPosition(shared.durable.get()),
    replayed: formatPosition(shared.replayed.get()),
  };
  return `${JSON.stringify(document)}\n`;
}
