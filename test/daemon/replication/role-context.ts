/** What the daemon gives to the parts that decide on roles, on the files of a home; nobody is called. */
import {pino} from 'pino';
import {systemClock} from '../../../src/core/clock.js';
import {homePaths} from '../../../src/core/home.js';
import type {Context} from '../../../src/daemon/context.js';
import type {RoleServices} from '../../../src/daemon/replication/role-services.js';
import {readNode} from '../../../src/daemon/state.js';

export interface RoleContextInput {
  readonly home: string;
  /** Codes of the events that were told are added to it. */
  readonly told: string[];
  /** What is different from a cluster where nobody answers. */
  readonly roles: Pick<RoleServices, 'replicas'> & Partial<RoleServices>;
}

/** @param input.home with a node.json */
export function roleContext({home, told, roles}: RoleContextInput): Context {
  const node = readNode(home);
  return {
    paths: homePaths(home),
    node,
    programs: {holder: '', main: ''},
    clock: systemClock,
    log: pino({level: 'silent'}),
    tell: (code) => {
      told.push(code);
    },
    roles: {
      nodeId: node.id,
      factsRevision: () => 0,
      memberId: () => undefined,
      hasPeers: () => true,
      call: () => Promise.reject(new Error('nobody is called')),
      open: () => Promise.reject(new Error('nobody is called')),
      askPeers: () => Promise.resolve(),
      touch: () => undefined,
      ...roles,
    },
  };
}
