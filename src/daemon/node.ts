/**
 * The node: its resources by name, and what is asked of all of them. One object per daemon; the
 * server and the supervision are its only callers.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {
  CreateRequest,
  DeleteRequest,
  DeleteResult,
  JoinRequest,
  LeaveRequest,
  ResourceView,
  StatusDocument,
  StopRequest,
} from '../control/api.js';
import type {ResourceFacts} from '../cluster/facts.js';
import {DiskError, isDiskError} from '../core/errors.js';
import type {ResourceFile} from '../core/home.js';
import {deactivate, ownPidsOf} from './activate.js';
import {untilNext} from '../core/grid.js';
import type {Context} from './context.js';
import {
  createResource,
  describeDelete,
  removeResource,
  removeRunFiles,
  removeUnfinished,
  type Origin,
} from './create.js';
import {requireUnused} from './device.js';
import {spaceOf} from './file-system-space.js';
import {refuseWhileMounted, unmountAll} from './history/care.js';
import {bringUp, leave} from './operations.js';
import {listMounts, mountAt} from '../core/mounts.js';
import {forbiddenPlaces} from './places.js';
import {readExportFile} from '../replica/folder-file.js';
import {folderOf} from './replication/export.js';
import type {Replication} from './replication/replication.js';
import {Resource, unknownResource} from './resource.js';
import {restoreOfRole} from './role-messages.js';
import {resolveSafely} from './safe-path.js';
import {readClusterId, readResource} from './state.js';
import {SUPERVISE_INTERVAL_MS, Supervision} from './supervise.js';
import {resourceStatus, resourceView} from './views.js';

const CREATE_TIMEOUT_MS = 60_000;
const UNDO_TIMEOUT_MS = 10_000;

interface Entry {
  readonly resource: Resource;
  readonly supervision: Supervision;
}

/** The resources of this node, and what is asked of all of them. */
export class MarsNode {
  readonly context: Context;
  readonly #entries = new Map<string, Entry>();
  readonly #abort = new AbortController();
  /** Creations run one at a time: two must not take the same name or image. */
  #creations: Promise<unknown> = Promise.resolve();
  #loops: Promise<unknown>[] = [];
  #stopping = false;
  #replication: Replication | undefined;

  constructor(context: Context) {
    this.context = context;
  }

  /** Loads all resources. A file that is not valid costs only its own resource. */
  load(): void {
    const {resourcesDirectory, disksDirectory} = this.context.paths;
    fs.mkdirSync(resourcesDirectory, {recursive: true, mode: 0o700});
    fs.mkdirSync(disksDirectory, {recursive: true, mode: 0o700});
    for (const path of removeUnfinished(this.context)) {
      this.context.tell('CRASH_CLEANED', 'warning', null, `an unfinished ${path} was removed`);
    }

    for (const entry of fs.readdirSync(resourcesDirectory, {withFileTypes: true})) {
      if (entry.isDirectory() && !entry.name.startsWith('.')) {
        const {resource} = this.#add(entry.name, this.readFile(entry.name));
        restoreOfRole(this.context, resource);
      }
    }
  }

  /** The file of a resource, or why it cannot be used. */
  readFile(name: string): ResourceFile | DiskError {
    const path = join(this.context.paths.resourcesDirectory, name, 'resource.json');
    try {
      const file = readResource(this.context.paths.home, name);
      return file ?? new DiskError('STATE_UNREADABLE', `${path} is missing`, {file: path});
    } catch (error) {
      if (isDiskError(error)) return error;
      throw error;
    }
  }

  #add(name: string, loaded: ResourceFile | DiskError): Entry {
    const resource = new Resource(this.context, name, loaded);
    if (loaded instanceof DiskError) {
      resource.say('STATE_UNREADABLE', 'critical', loaded.message);
      this.context.log.error({resource: name, err: loaded}, 'resource.json cannot be used');
    }

    const entry = {resource, supervision: new Supervision(this.context, resource)};
    this.#entries.set(name, entry);
    this.#replication?.add(resource);
    return entry;
  }

  /** Takes part in a cluster: before `supervise`, so that nothing is decided without the others. */
  replicate(replication: Replication): void {
    this.#replication = replication;
    for (const {resource} of this.#entries.values()) replication.add(resource);
  }

  /** Replication, where the node has an identity for it. */
  get replication(): Replication | undefined {
    return this.#replication;
  }

  /** Adopts and restores disks in the background, then watches them until `close`. */
  supervise(): void {
    this.#replication?.start();
    for (const [name, entry] of this.#entries) this.#watch(name, entry, true);
  }

  #watch(name: string, entry: Entry, begin: boolean): void {
    const loop = async (): Promise<void> => {
      const {signal} = this.#abort;
      let first = begin;
      while (!signal.aborted && this.#entries.get(name) === entry) {
        try {
          if (!this.#stopping) await (first ? entry.supervision.begin() : entry.supervision.tick());
        } catch (error) {
          this.context.log.error({resource: name, err: error}, 'supervision failed');
        }

        first = false;
        // All resources together: one wake-up, not one for each.
        const waitMs = untilNext(SUPERVISE_INTERVAL_MS, this.context.clock.wallMs());
        await sleep(waitMs, undefined, {signal}).catch(() => undefined);
      }

      entry.supervision.close();
    };
    this.#loops.push(loop());
  }

  /** Ends the supervision and waits for operations under way. Disks go on. */
  async close(): Promise<void> {
    this.#abort.abort();
    await this.#replication?.close();
    await Promise.all(this.#loops);
    await Promise.all([...this.#entries.values()].map(({resource}) => resource.idle()));
  }

  /** All resources, by name. */
  resources(): Resource[] {
    return [...this.#entries.values()]
      .map(({resource}) => resource)
      .sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** @throws DiskError RESOURCE_UNKNOWN */
  resource(name: string): Resource {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry.resource;
    const elsewhere = this.#replication?.notJoined().find((one) => one.name === name);
    throw unknownResource(
      name,
      elsewhere?.replicas.map(({node}) => node),
    );
  }

  /** `mars status`: asks each disk process, so that scripts see what is true now. */
  async status(name: string | undefined): Promise<StatusDocument> {
    const elsewhere = (this.#replication?.notJoined() ?? []).filter(
      (status) => name === undefined || (status.name === name && !this.#entries.has(name)),
    );
    const known = name !== undefined && elsewhere.length === 0 ? [this.resource(name)] : [];
    const resources = name === undefined ? this.resources() : known;
    const [spaces] = await Promise.all([
      Promise.all(resources.map(({places}) => spaceOf(places.paths.logDirectory))),
      Promise.all(resources.map((resource) => resource.poll())),
    ]);
    const {node, paths} = this.context;
    return {
      schema: 1,
      node: node.name,
      cluster: readClusterId(paths.home),
      resources: [
        ...resources.map((resource, index) => {
          const space = spaces[index] ?? null;
          const known = this.context.space?.spaceOf(resource.name);
          const shown = space && {...known, ...space};
          const status = resourceStatus(resource, node.name, shown);
          return this.#replication?.replica(resource.name)?.completed(status) ?? status;
        }),
        ...elsewhere,
      ],
    };
  }

  /**
   * Creates a resource and makes it primary here.
   *
   * @throws DiskError as createResource and activate; nothing is then left, but after a TIMEOUT,
   *   when the disk needs longer and goes on
   */
  create(request: CreateRequest): Promise<ResourceView> {
    const result = this.#creations.then(() => this.#createOnce(request));
    this.#creations = result.catch(() => undefined);
    return result;
  }

  /**
   * Makes a replica of a resource that other members have; it copies the image in the background.
   *
   * @throws DiskError NO_SOURCE, RESOURCE_EXISTS, and as createResource; nothing is then left
   */
  join(name: string, request: JoinRequest): Promise<ResourceView> {
    const result = this.#creations.then(async () => {
      this.#refuseKnown(name);
      const replication = this.#replication;
      if (replication === undefined) {
        throw new DiskError('NO_SOURCE', 'this node belongs to no cluster: mars peer join TOKEN');
      }

      const {from, image: path, force, preallocate} = request;
      const image = {
        ...(path === undefined ? {} : {image: path}),
        ...{force: force ?? false, preallocate: preallocate ?? false},
      };
      const origin =
        from === undefined
          ? originOf(await replication.findElsewhere(name))
          : originInFolder(this.context, name, from);
      this.#refuseKnownId(name, origin.id);
      const wish = {...image, name, sizeBytes: origin.sizeBytes, activate: false};
      const images = canonicalImages(this.context, this.resources());
      const {file} = await createResource(this.context, wish, images, origin);
      const entry = this.#add(name, file);
      const text = `${name} has a replica here: ${file.imagePath}; its image is being copied`;
      this.context.tell('REPLICA_JOINED', 'info', name, text, {sizeBytes: file.sizeBytes});
      replication.cluster.touch();
      this.#watch(name, entry, false);
      return resourceView(entry.resource);
    });
    this.#creations = result.catch(() => undefined);
    return result;
  }

  /**
   * Takes the replica of a resource that is no more away, and joins the one that has its name on other nodes
   * since. Died between the two: it is not joined, and can be joined as any other.
   *
   * @throws DiskError RESOURCE_UNKNOWN, RESOURCE_EXISTS where it is the same one, NO_SOURCE, CONFIRM_NEEDED, and as join
   */
  async replace(name: string, request: JoinRequest): Promise<ResourceView | DeleteResult> {
    const resource = this.resource(name);
    const successor = this.#replication?.replica(name)?.successor();
    if (successor === undefined) {
      const text = `the resource ${name} here is not known to be replaced by another one: nothing to replace`;
      throw new DiskError('RESOURCE_EXISTS', text, {resource: name});
    }

    if (successor.facts === undefined) {
      const text = `${name} was deleted, and no other node has one of the name: mars resource delete ${name}`;
      throw new DiskError('NO_SOURCE', text, {resource: name});
    }

    const {dryRun = false, confirmed = false, ...join} = request;
    const {imagePath, imageOwned} = resource.file;
    const described = await this.delete(name, {dryRun, confirmed});
    if (dryRun) return described;
    // What the user gave once is compared, and only what differs is overwritten.
    const image = imageOwned || join.image !== undefined ? {} : {image: imagePath, force: true};
    return this.join(name, {...join, ...image});
  }

  #refuseKnown(name: string): void {
    if (!this.#entries.has(name)) return;
    const text = `there is a resource ${name} already`;
    throw new DiskError('RESOURCE_EXISTS', text, {resource: name});
  }

  /** The same resource under two names would have two writers of one history. */
  #refuseKnownId(name: string, id: string): void {
    const known = this.#replication?.byId(id)?.resource;
    if (known === undefined) return;
    const text = `${name} is here already, as ${known.name}: it has the same id`;
    throw new DiskError('RESOURCE_EXISTS', text, {resource: known.name});
  }

  async #createOnce(request: CreateRequest): Promise<ResourceView> {
    this.#refuseKnown(request.name);
    const images = canonicalImages(this.context, this.resources());
    const {file, undo} = await createResource(this.context, request, images);
    const resource = new Resource(this.context, file.name, file);
    const entry = {resource, supervision: new Supervision(this.context, resource)};
    this.#entries.set(file.name, entry);
    this.#replication?.add(resource);
    try {
      if (file.designatedRole === 'primary') {
        await resource.run('create', () => this.#activateNew(resource));
      }
    } catch (error) {
      if (isDiskError(error, 'TIMEOUT')) this.#watch(file.name, entry, false);
      else await this.#undoCreate(resource, undo);
      throw error;
    }

    const text = `${file.name} was created, image ${file.imagePath}`;
    this.context.tell('RESOURCE_CREATED', 'info', file.name, text, {sizeBytes: file.sizeBytes});
    this.#watch(file.name, entry, false);
    return resourceView(resource);
  }

  async #undoCreate(resource: Resource, undo: () => void): Promise<void> {
    const {name, places} = resource;
    resource.markDeleted();
    this.#entries.delete(name);
    await this.#replication?.remove(name);
    try {
      await deactivate(this.context, name, performance.now() + UNDO_TIMEOUT_MS);
      if (mountAt(listMounts(), places.mountPoint) === undefined) fs.rmdirSync(places.mountPoint);
    } catch (error) {
      this.context.log.warn({resource: name, err: error}, 'a failed creation left remains');
    }

    undo();
    removeRunFiles(places.paths);
  }

  async #activateNew(resource: Resource): Promise<void> {
    const deadlineMs = performance.now() + CREATE_TIMEOUT_MS;
    const {driver} = resource.file;
    await bringUp(this.context, resource, {driver, acceptImage: false, deadlineMs});
  }

  /**
   * Gives up the replica of this node; the others keep theirs.
   *
   * @throws DiskError REPLICAS_REMAIN on the primary while others have replicas, and as `delete`
   */
  async leave(name: string, request: LeaveRequest): Promise<DeleteResult> {
    const resource = this.resource(name);
    const others = this.#replication?.replica(name)?.candidates() ?? [];
    await resource.poll();
    const isPrimary = resource.file.designatedRole === 'primary' || resource.disk?.mode === 'serve';
    if (isPrimary && others.length > 0) {
      const names = others.map((other) => other.name).join(', ');
      const text = `${name} is primary here, and there are replicas on ${names}: mars primary ${name} there comes first`;
      throw new DiskError('REPLICAS_REMAIN', text, {resource: name, nodes: names});
    }

    return this.delete(name, request, true);
  }

  /**
   * Deletes a resource, or says what that would remove.
   *
   * @param isLeave the replicas of the other nodes go on
   * @throws DiskError CONFIRM_NEEDED, RESOURCE_PRIMARY, HISTORY_BUSY, STORE_*
   */
  async delete(name: string, request: DeleteRequest, isLeave = false): Promise<DeleteResult> {
    const resource = this.resource(name);
    return resource.run('delete', async () => {
      const notes = this.#deleteNotes(resource, isLeave);
      const said = describeDelete(this.context, resource.file);
      const described = notes.length === 0 ? said : {...said, notes};
      if (request.dryRun) return described;
      if (!request.confirmed) {
        const lost = described.removes.map(({path}) => path).join(', ');
        const words = [`${lost} would be removed`, ...notes].join('; ');
        throw new DiskError('CONFIRM_NEEDED', `${words}: say --yes`, {resource: name});
      }

      refuseWhileMounted(resource);
      await leave(resource, performance.now() + CREATE_TIMEOUT_MS);
      const {id} = resource.file;
      const replication = this.#replication;
      if (!isLeave) replication?.noteDeleted(resource.file);
      resource.markDeleted();
      // It must not wait for the queue, in which this runs.
      const removed = replication?.remove(name);
      await removeResource(this.context, resource.file, resource.places.link);
      this.#entries.delete(name);
      this.context.tell('RESOURCE_DELETED', 'info', name, `${name} was deleted`);
      void removed?.then(() => replication?.tellLeft(id));
      return {...described, dryRun: false};
    });
  }

  /** What whoever is about to delete should know besides. */
  #deleteNotes(resource: Resource, isLeave: boolean): string[] {
    const {name, file, disk} = resource;
    const isPrimary = file.designatedRole === 'primary' || disk?.mode === 'serve';
    const others = this.#replication?.replica(name)?.candidates() ?? [];
    const orphans = !isLeave && this.#replication?.isLastPrimary(file.id) === true ? others : [];
    const nodes = orphans.map((other) => other.name).join(', ');
    return [
      ...(isPrimary
        ? [`refused while it is primary here: mars secondary ${name} comes first`]
        : []),
      ...(nodes === ''
        ? []
        : [
            `what ${nodes} ${orphans.length === 1 ? 'has' : 'have'} of it stays, and follows nobody any more; ` +
              `mars resource leave ${name} gives up only the replica here`,
          ]),
    ];
  }

  /**
   * Ends all disk processes in order; their roles stay, so that the next daemon brings them back.
   *
   * @throws DiskError RESOURCE_BUSY, HISTORY_BUSY before any disk was ended, TIMEOUT
   */
  async stopDisks(request: StopRequest): Promise<void> {
    const deadlineMs = performance.now() + request.timeoutSeconds * 1000;
    const resources = this.resources();
    for (const resource of resources) {
      await resource.poll();
      const {name, places, disk} = resource;
      if (disk?.mode === 'serve') await requireUnused(name, places, ownPidsOf(disk));
      await resource.run('history unmount', () => unmountAll(this.context, resource));
    }

    // Nobody starts them again from here on.
    this.#stopping = true;
    this.#replication?.hold(true);
    try {
      for (const resource of resources) {
        await resource.run('stop', async () => {
          resource.noteEnd(await deactivate(this.context, resource.name, deadlineMs));
        });
      }
    } catch (error) {
      this.#stopping = false;
      this.#replication?.hold(false);
      throw error;
    }
  }
}

/** What a replica has in common with the others; a size of the segments is for all of them. */
function originOf(facts: ResourceFacts): Origin {
  const {id, sizeBytes, createdAt, segmentBytes, alignmentBytes} = facts;
  return {id, sizeBytes, createdAt, segmentBytes, alignmentBytes};
}

/** The same of a resource that was exported. @throws DiskError FOLDER_EMPTY, FOLDER_FOREIGN, STORE_* */
function originInFolder(context: Context, name: string, path: string): Origin {
  const folder = folderOf(context, path);
  const file = readExportFile(folder);
  if (file === undefined) {
    const text = `there is no export.json in ${folder}: mars log export ${name} DIR --base makes one`;
    throw new DiskError('FOLDER_EMPTY', text, {folder});
  }

  if (file.name !== name) {
    const text = `${folder} has the resource ${file.name}, not ${name}: mars resource join ${file.name} --from ${folder}`;
    throw new DiskError('FOLDER_FOREIGN', text, {folder, resource: file.name});
  }

  const {resourceId: id, sizeBytes, createdAt, segmentBytes, alignmentBytes} = file;
  return {id, sizeBytes, createdAt, segmentBytes, alignmentBytes, followFolder: folder};
}

/** Canonical images of resources, with their names: a stable link and its disk are the same. */
function canonicalImages(context: Context, resources: readonly Resource[]): Map<string, string> {
  const places = forbiddenPlaces(context);
  const images = new Map<string, string>();
  for (const {name, file} of resources.filter((resource) => resource.fault === undefined)) {
    try {
      images.set(resolveSafely(file.imagePath, places), name);
    } catch {
      images.set(file.imagePath, name);
    }
  }

  return images;
}
