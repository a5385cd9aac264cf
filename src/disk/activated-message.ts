import type {ActiveDisk} from './activation.js';
import type {Activated} from './messages.js';

/** What the main thread and replay have to know of a disk that was activated. */
export function activatedMessage(disk: ActiveDisk): Activated {
  return {
    kind: 'active',
    epoch: disk.epoch,
    imageFd: disk.imageFd,
    identity: disk.identity,
    from: disk.state.from,
    to: disk.state.to,
    fromChain: disk.fromChain,
    tornRecords: disk.recovered.tornRecords,
    position: disk.recovered.position,
    retained: disk.retained,
    names: disk.recovered.segments.map(({name, header}) => [header.number, name]),
    bypassedBytes: disk.bypassedBytes,
  };
}
