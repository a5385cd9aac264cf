/** Two real daemons become a cluster, by token and by ssh, and part again. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {InviteDocument, PeerList} from '../../src/control/peer-api.js';
import {freePort} from '../daemon/peer-rig.js';
import {until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const BIN = path.join(import.meta.dirname, '../../bin/run.js');
const homes: TempHome[] = [];

async function start(name: string, listen = true): Promise<TempHome> {
  const at = listen ? {listen: `127.0.0.1:${await freePort('127.0.0.1')}`} : {};
  const home = await TempHome.create({name, ...at});
  homes.push(home);
  return home;
}

async function codeOf(home: TempHome, ...args: string[]): Promise<string> {
  const answer = await home.json<{error?: {code: string}}>(...args);
  return answer.error?.code ?? 'none';
}

const links = async (home: TempHome): Promise<string[]> => {
  const {members} = await home.json<PeerList>('peer', 'list');
  return members.map(({name, link}) => `${name} ${link}`);
};

test.after.each(async () => {
  delete process.env['MARS_SSH'];
  for (const home of homes.splice(0)) await home.dispose();
});

test('invite, join, list on both, remove, then refused', async () => {
  const alpha = await start('alpha');
  const beta = await start('beta');
  const invited = await alpha.json<InviteDocument>('peer', 'invite', '--valid', '600');
  assert.is(await codeOf(beta, 'peer', 'join', invited.token.slice(2)), 'TOKEN_DAMAGED');
  assert.match(
    await beta.mars('peer', 'join', invited.token),
    /through alpha; members: alpha, beta/u,
  );
  await until(
    async () => (await links(alpha)).join() === 'alpha self,beta up',
    20_000,
    'link at alpha',
  );
  await until(
    async () => (await links(beta)).join() === 'alpha up,beta self',
    20_000,
    'link at beta',
  );
  const lists = [await alpha.mars('peer', 'list'), await beta.mars('peer', 'list')];
  for (const text of lists) assert.match(text, invited.cluster);
  const gamma = await start('gamma');
  assert.is(await codeOf(gamma, 'peer', 'join', invited.token), 'TOKEN_USED');
  assert.is(await codeOf(alpha, 'peer', 'set', 'beta', 'address=nowhere'), 'KEY_UNKNOWN');
  await alpha.mars('peer', 'set', 'beta', 'bandwidth-limit=10M');

  // Each looks at the other, as far as that one lets it.
  assert.is((await alpha.json<{node: string}>('status', '--host', 'beta')).node, 'beta');
  assert.is((await alpha.json<PeerList>('peer', 'list', '--host', 'beta')).node, 'beta');
  assert.is(await codeOf(alpha, 'replay', 'pause', 'web', '--host', 'beta'), 'RESOURCE_UNKNOWN');
  assert.is(await codeOf(alpha, 'status', '--host', 'delta'), 'PEER_UNKNOWN');
  await beta.mars('peer', 'set', 'beta', 'remote-control=off');
  assert.is(await codeOf(alpha, 'status', '--host', 'beta'), 'REMOTE_REFUSED');
  assert.is(await codeOf(alpha, 'peer', 'set', 'beta', 'remote-control=act'), 'KEY_UNKNOWN');

  // A daemon that comes back knows its members.
  await beta.killDaemon();
  await beta.startDaemon();
  await until(
    async () => (await links(beta)).join() === 'alpha up,beta self',
    20_000,
    'link after the restart',
  );

  assert.is(await codeOf(alpha, 'status', '--host', 'beta'), 'REMOTE_REFUSED', 'the wish is kept');
  assert.match(await alpha.mars('peer', 'remove', 'beta', '--dry-run'), /would be no member/u);
  assert.equal(await links(alpha), ['alpha self', 'beta up']);
  assert.match(await alpha.mars('peer', 'remove', 'beta'), /no member any more/u);
  assert.equal(await links(alpha), ['alpha self']);
  const after = await beta.json<PeerList>('peer', 'list');
  assert.is(after.removed, true);
  assert.is(await codeOf(beta, 'peer', 'invite'), 'PEER_REVOKED');
  const again = await alpha.json<InviteDocument>('peer', 'invite');
  await beta.mars('peer', 'join', again.token);
  await until(async () => (await links(alpha)).includes('beta up'), 20_000, 'beta again');
});

test('over ssh a node joins without a token, and is heard of', async () => {
  const alpha = await start('alpha');
  const ssh = path.join(alpha.directory, 'ssh');
  // What ssh does on the other side; its options and the host come before.
  const script = `#!/bin/sh\nexec ${process.execPath} ${BIN} peer-stdio --home ${alpha.home}\n`;
  fs.writeFileSync(ssh, script, {mode: 0o755});
  process.env['MARS_SSH'] = ssh;
  const beta = await start('beta', false);
  await beta.mars('peer', 'join', 'ssh://root@alpha');
  await until(
    async () => (await links(beta)).join() === 'alpha up,beta self',
    20_000,
    'link over ssh',
  );
  assert.ok((await links(alpha)).includes('beta up'));
  fs.writeFileSync(ssh, '#!/bin/sh\necho "Permission denied" >&2\nexit 255\n', {mode: 0o755});
  const gamma = await start('gamma');
  assert.is(await codeOf(gamma, 'peer', 'join', 'ssh://alpha'), 'PEER_SSH_FAILED');
});

test.run();
