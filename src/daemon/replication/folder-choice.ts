/** Which folder a replica takes its log from: files that are taken once, else the one that is wished. */
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {FolderSource} from './folder-source.js';
import {hushFolder} from './notes.js';

export interface FolderChoicePorts {
  /** The wish in force; undefined: other nodes. */
  readonly wish: () => string | undefined;
  /** @param only paths of logfiles by their names; undefined: all of the folder */
  readonly make: (folder: string, only?: ReadonlyMap<string, string>) => FolderSource;
  /** No folder is followed any more. */
  readonly onNone: () => void;
  /** It is to be looked again at what there is to follow. */
  readonly poke: () => void;
}

/** One for a replica. */
export class FolderChoice {
  readonly #ports: FolderChoicePorts;
  #wished: FolderSource | undefined;
  #once: FolderSource | undefined;

  constructor(ports: FolderChoicePorts) {
    this.#ports = ports;
  }

  /** The folder to follow now; undefined: other nodes. */
  get current(): FolderSource | undefined {
    const wish = this.#ports.wish();
    if (this.#once !== undefined || this.#wished?.folder === wish) {
      return this.#once ?? this.#wished;
    }

    void this.#wished?.close();
    this.#wished = wish === undefined ? undefined : this.#ports.make(wish);
    this.#wished?.watch();
    if (wish === undefined) this.#ports.onNone();
    return this.#wished;
  }

  /** true where somebody takes files now that were given once. */
  get isTaking(): boolean {
    return this.#once !== undefined;
  }

  /** Takes what a folder, or some logfiles, have: the only source until `done` is called. */
  takeOnce(
    folder: string,
    only: ReadonlyMap<string, string> | undefined,
  ): {readonly source: FolderSource; readonly done: () => void} {
    const {make, onNone, poke} = this.#ports;
    const source = make(folder, only);
    this.#once = source;
    poke();
    const done = (): void => {
      if (this.#once === source) this.#once = undefined;
      onNone();
      poke();
    };
    return {source, done};
  }

  async close(): Promise<void> {
    await this.#wished?.close();
  }
}

/** The choice of a replica, by the wish in its file. */
export function createFolderChoice(
  {clock}: Context,
  nodeId: string,
  resource: Resource,
  poke: () => void,
): FolderChoice {
  return new FolderChoice({
    poke,
    wish: () => (resource.fault === undefined ? resource.file.followFolder : undefined),
    make: (folder, only) => {
      const files = only === undefined ? {} : {only};
      const resourceId = resource.file.id;
      return new FolderSource({folder, resourceId, nodeId, clock, ...files, onChange: poke});
    },
    onNone: () => {
      hushFolder(resource);
    },
  });
}
