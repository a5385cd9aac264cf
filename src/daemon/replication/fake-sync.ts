/**
 * `fake-sync` of MARS: whoever knows that the image here is that of another node already, as both were
 * copied from one backup, spares the copy. sync.json then says that the copy goes on from the end
 * of the other node's log, with nothing that could differ: the source agrees, or the copy begins anew,
 * with digests. Nothing is looked at: who is wrong has a replica that says UpToDate and is not.
 *
 * The other image has to stand still, with all of its log in it: else no position names what it is.
 */
import fs from 'node:fs';
import type {DeleteRequest} from '../../control/api.js';
import type {FakeSyncResult} from '../../control/verify-api.js';
import {DiskError, storeError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {parsePosition} from '../../core/position.js';
import {emptySyncState, writeSyncState} from '../../disk/sync-state.js';
import {SYNC_CHUNK_BYTES} from '../../log/frame-schemas.js';
import {findDisk, stopReplay} from '../activate.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {isServed} from '../views.js';
import {refuseWhileBypassed} from './bypass-rules.js';
import {askEnd, type PeerEnd} from './peer-end.js';
import type {KnownReplica} from './role-services.js';

const ASK_PEERS_MS = 5000;
const STOP_TIMEOUT_MS = 30_000;

/**
 * Takes the image of a replica for a copy of another one's.
 *
 * @throws DiskError RESOURCE_PRIMARY, NO_SOURCE, SOURCE_MOVES, PEER_*, IMAGE_TOO_SMALL, CONFIRM_NEEDED, STORE_*
 */
export function fakeSync(
  context: Context,
  {resource}: {readonly resource: Resource},
  request: DeleteRequest,
): Promise<FakeSyncResult> {
  const {name, places} = resource;
  const {dryRun} = request;
  return resource.run('sync fake', async () => {
    refusePrimary(resource);
    refuseWhileBypassed(resource);
    const {sizeBytes} = resource.file;
    if (!fs.existsSync(places.paths.syncFile)) {
      return {schema: 1, name, dryRun, needed: false, source: null, position: null, sizeBytes};
    }

    await context.roles?.askPeers(ASK_PEERS_MS);
    const source = sourceOf(context, resource);
    const end = await askEnd(context, source, resource.file.id);
    const {position, sizeBytes: there} = end;
    const result: FakeSyncResult = {
      ...{schema: 1, name, dryRun, needed: true, source: source.name, position, sizeBytes: there},
    };
    requireStill(name, source.name, end);
    if (dryRun) return result;
    if (!request.confirmed) {
      const text =
        `the image of ${name} here would be taken for that of ${source.name}, and nothing would be compared: ` +
        'where that is wrong the replica is, too. Say --yes';
      throw new DiskError('CONFIRM_NEEDED', text, {resource: name, node: source.name});
    }

    try {
      if ((await findDisk(places)).kind !== 'absent') {
        await stopReplay(places, name, performance.now() + STOP_TIMEOUT_MS);
      }

      resource.noteLost();
      take(context, resource, end);
    } catch (error) {
      throw storeError(error, `note that the image of ${name} is a copy`);
    }

    const text =
      `the image of ${name} here was taken for that of ${source.name} at ${position}, by wish: nothing was ` +
      `compared. mars verify ${name} does it`;
    context.tell('SYNC_FAKED', 'warning', name, text, {node: source.name});
    resource.follow?.poke();
    context.roles?.touch();
    return result;
  });
}

function refusePrimary(resource: Resource): void {
  const {name, file} = resource;
  if (file.designatedRole === 'secondary' && !isServed(resource)) return;
  const text = `${name} is primary here: its image is the one that others are copied from`;
  throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
}

/** The primary, else who was it last and stands still. @throws DiskError NO_SOURCE */
function sourceOf(context: Context, {name, file}: Resource): KnownReplica {
  const whole = (context.roles?.replicas(file.id) ?? []).filter(
    ({linkUp, facts}) => linkUp && facts.sync === null && facts.epoch !== null,
  );
  const source = whole.find(({facts}) => facts.designatedRole === 'primary') ?? whole[0];
  if (source !== undefined) return source;
  const text = `no other node with a whole replica of ${name} is heard of now`;
  throw new DiskError('NO_SOURCE', text, {resource: name});
}

/** All of its log is in its image. @throws DiskError SOURCE_MOVES */
function requireStill(name: string, node: string, end: PeerEnd): void {
  const {position, replayed, replayTo, chain} = end;
  if (chain !== null && replayed === position && replayTo === position) return;
  const text =
    `${node} has log of ${name} that is not in its image (up to ${position}, image ` +
    `${replayed}): let nobody write there until mars replay status ${name} on ${node} says 0 B to replay`;
  throw new DiskError('SOURCE_MOVES', text, {resource: name, node});
}

function take(context: Context, resource: Resource, end: PeerEnd): void {
  const {name, file} = resource;
  const {position, chain, epoch, sizeBytes, lineage} = end;
  const files = createNodeFiles();
  const fd = files.open(file.imagePath, 'read');
  try {
    const image = files.identify(fd);
    if (image.sizeBytes < sizeBytes) {
      const text = `the image of ${name} here has ${image.sizeBytes} bytes, the disk ${sizeBytes}: it is no copy of it`;
      throw new DiskError('IMAGE_TOO_SMALL', text, {resource: name});
    }

    writeSyncState(files, context.paths.home, name, {
      ...emptySyncState(sizeBytes, SYNC_CHUNK_BYTES),
      ...{state: 'copying', epoch, image, only: []},
      begin: parsePosition(position) ?? 0,
      chain: chain ?? '0'.repeat(16),
      lineage: lineage.filter(({start}) => start <= position),
    });
  } finally {
    files.close(fd);
  }
}
