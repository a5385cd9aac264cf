/** Whether the other nodes have the same time as this one, as far as its daemon knows. */
import type {PeerList} from '../control/peer-api.js';
import {CODES} from '../core/codes.js';
import {isDiskError} from '../core/errors.js';
import type {MachineCheck} from '../core/machine.js';
import type {Daemon} from './daemon.js';
import {formatSeconds} from './times.js';

const PATIENCE_SECONDS = 3;

/** For `mars doctor`, which goes on without a daemon. */
export async function checkClocks(daemon: Daemon): Promise<MachineCheck> {
  const base = {name: 'clock', level: 'warning', code: 'CLOCK_SKEW'} as const;
  let members: PeerList['members'];
  try {
    ({members} = await daemon.get<PeerList>('/v1/peers', PATIENCE_SECONDS));
  } catch (error) {
    if (!isDiskError(error)) throw error;
    return {
      ...base,
      ok: true,
      found: 'not compared with other nodes: no daemon answers',
      remedy: '',
    };
  }

  const known = members.filter(({clockOffsetSeconds}) => clockOffsetSeconds != null);
  const skewed = known.filter(({isClockSkewed}) => isClockSkewed === true);
  if (skewed.length === 0) {
    const found =
      known.length === 0
        ? 'no other node has told its time'
        : `as on ${known.map(({name}) => name).join(', ')}`;
    return {...base, ok: true, found, remedy: ''};
  }

  const found = skewed.map(({name, clockOffsetSeconds}) => {
    const seconds = clockOffsetSeconds ?? 0;
    return `${name} is ${formatSeconds(Math.abs(seconds))} ${seconds > 0 ? 'ahead' : 'behind'}`;
  });
  return {...base, ok: false, found: found.join(', '), remedy: CODES[base.code].remedy};
}
