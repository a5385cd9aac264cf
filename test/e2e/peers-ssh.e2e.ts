/** Two nodes that reach each other over ssh only: real servers, with ports and keys of the user's config. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {PeerList} from '../../src/control/peer-api.js';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, randomFile, writeDisk} from '../helpers/disk-io.js';
import {skip} from '../helpers/skip.js';
import {noSshd, Sshd, SshUser} from '../helpers/sshd.js';

const NAME = 'web01';
const reason = noSshd();
const cluster = new Cluster(['alpha', 'beta']);
const servers: Sshd[] = [];
let user: SshUser | undefined;

test.before(async () => {
  if (reason !== undefined) return;
  user = await SshUser.create();
  await cluster.start({join: false});
  for (const {name, home} of cluster.nodes) {
    servers.push(await Sshd.create(user, `${name}-host`, home));
  }
});

test.after(async () => {
  await cluster.dispose();
  for (const server of servers) await server.kill();
  user?.dispose();
});

function sshTest(title: string, act: () => Promise<void>): void {
  if (reason === undefined) test(title, act);
  else {
    test(title, (context) => {
      skip(context, reason);
    });
  }
}

/** Messages are broken into lines. */
function words(text: string): string {
  return text.replace(/\s+/gu, ' ');
}

function known(): readonly string[] {
  return servers.map((server) => server.known);
}

async function linkOf(on: string, to: string): Promise<string | undefined> {
  const {members} = await cluster.node(on).json<PeerList>('peer', 'list');
  return members.find(({name}) => name === to)?.link;
}

async function write(on: string, file: string, sizeMib: number, seekMib: number): Promise<string> {
  const node = cluster.node(on);
  const source = randomFile(node, file, sizeMib);
  await writeDisk(source, node.device(NAME), [`seek=${seekMib}`, 'conv=notrunc,fsync']);
  return hashOf(source, sizeMib);
}

sshTest('a host whose key is not known is refused, and the message says what to do', async () => {
  const refused = await cluster.node('beta').tryMars('peer', 'join', 'ssh://root@alpha-host');
  assert.is(refused.status, 4, refused.stderr);
  assert.match(refused.stderr, 'PEER_SSH_FAILED');
  assert.match(words(refused.stderr), 'the key of its host is not known');
});

sshTest('a host that shows another key than the known one is refused', async () => {
  const [alpha, beta] = servers;
  assert.ok(alpha && beta && user);
  const foreign = beta.known.replace(String(beta.port), String(alpha.port));
  user.setKnown([foreign]);
  const refused = await cluster.node('beta').tryMars('peer', 'join', 'ssh://root@alpha-host');
  assert.is(refused.status, 4, refused.stderr);
  assert.match(words(refused.stderr), 'shows another key than the known one');
  assert.match(words(refused.stderr), 'ssh-keygen -R alpha-host');
});

sshTest(
  'with port and key from the config of ssh a node joins, and each reaches the other',
  async () => {
    const [alpha, beta] = cluster.nodes;
    assert.ok(alpha && beta && user);
    user.setKnown(known());
    await beta.mars('peer', 'join', 'ssh://root@alpha-host');
    await cluster.wait('alpha to know beta', 20_000, async () => {
      const set = await alpha.tryMars('peer', 'set', 'beta', 'address=ssh://root@beta-host');
      return set.status === 0;
    });
    await cluster.wait('both links up', 30_000, async () => {
      return (await linkOf('alpha', 'beta')) === 'up' && (await linkOf('beta', 'alpha')) === 'up';
    });
  },
);

sshTest('the first copy and the log go through ssh', async () => {
  await cluster.createResource('alpha', NAME, '64M');
  await write('alpha', 'first.bin', 12, 4);
  await cluster.joinResource('beta', NAME);
  await write('alpha', 'second.bin', 12, 20);
  await cluster.equalImages(NAME);
});

sshTest('servers that are killed are noticed; when they are back beta catches up', async () => {
  for (const server of servers) await server.kill();
  await write('alpha', 'third.bin', 8, 36);
  await cluster.wait('beta to say that ssh fails', 60_000, async () => {
    const {follow, waitingFor} = await cluster.status('beta', NAME);
    return follow?.connected === false && waitingFor?.reason.startsWith('PEER_SSH_FAILED') === true;
  });
  for (const server of servers) await server.start();
  await cluster.equalImages(NAME);
});

sshTest('the role goes over ssh to beta and back, with all data', async () => {
  await cluster.node('beta').mars('primary', NAME);
  const hash = await write('beta', 'fourth.bin', 4, 48);
  await cluster.equalImages(NAME);
  await cluster.wait('alpha to become primary again', 60_000, async () => {
    const back = await cluster.node('alpha').tryMars('primary', NAME);
    return back.status === 0;
  });
  assert.is(await hashOf(cluster.node('alpha').device(NAME), 4, 48), hash);
  await cluster.equalImages(NAME);
});

sshTest(
  'a host key that changes later stops the replication, and the status says why',
  async () => {
    const [alpha, beta] = servers;
    assert.ok(alpha && beta && user);
    const foreign = beta.known.replace(String(beta.port), String(alpha.port));
    user.setKnown([foreign, beta.known]);
    await alpha.kill();
    await alpha.start();
    await cluster.wait('beta to say why', 60_000, async () => {
      const {waitingFor} = await cluster.status('beta', NAME);
      return waitingFor?.reason.includes('shows another key than the known one') === true;
    });
    user.setKnown(known());
    await cluster.wait('beta to follow again', 60_000, async () => {
      return (await cluster.status('beta', NAME)).follow?.connected === true;
    });
  },
);

test.run();
