/**
 * Files for the segments of a log that is followed. Their names come from the origin, so they are
 * kept as spares until the origin begins a segment; a few are made ahead, in small steps.
 */
import {join} from 'node:path';
import type {Files} from '../core/files.js';
import {makeReady, makeSpare, removeSegment, type SegmentPlan} from '../log/segment-files.js';
import {segmentName} from '../log/segment.js';

/** Spares made ahead. */
const SPARES_AHEAD = 2;
/** Spares kept: replay gives back as many as are received, mostly. */
const SPARES_MAX = 8;

/** Spare files of one log directory. */
export class FollowSupply {
  readonly #files: Files;
  readonly #plan: SegmentPlan;
  /** Size that the origin gives its files. */
  #fileBytes: number;
  #spares: string[] = [];
  #making: Generator<void, void> | undefined;
  #makingPath = '';
  #made = 0;

  constructor(files: Files, plan: SegmentPlan) {
    this.#files = files;
    this.#plan = plan;
    this.#fileBytes = plan.fileBytes;
    for (const name of files.list(plan.directory)) {
      if (name.startsWith('spare-')) this.#adopt(join(plan.directory, name));
    }
  }

  get spareCount(): number {
    return this.#spares.length;
  }

  /**
   * Makes a file ready for segment `number`; its directory entry is durable when this returns.
   *
   * @returns its path
   */
  take(number: number, originName: string, fileBytes: number): string {
    this.#resize(fileBytes);
    const spare = this.#spares.pop() ?? this.#makeNow();
    const plan = {...this.#plan, originName, fileBytes};
    // Left by a branch that was cut, in a life that died.
    this.discard(segmentName(number, originName));
    try {
      return makeReady(this.#files, plan, spare, number);
    } catch (error) {
      if (this.#files.exists(spare)) this.#spares.push(spare);
      throw error;
    }
  }

  /** Removes the segment with this name: what it holds is no part of the log. */
  discard(name: string): void {
    removeSegment(this.#files, join(this.#plan.directory, name));
  }

  /** Makes a spare of the segment with this name: it is replayed, and nobody needs it any more. */
  setAside(name: string): void {
    const {directory} = this.#plan;
    const path = join(directory, name);
    if (!this.#files.exists(path)) return;
    let target = join(directory, `spare-${name}`);
    // A number comes twice where a branch was cut.
    while (this.#files.exists(target)) {
      this.#made += 1;
      target = join(directory, `spare-${name}-${this.#made}`);
    }

    this.#files.rename(path, target);
    this.#adopt(target);
    if (this.#files.exists(`${path}.idx`)) this.#files.unlink(`${path}.idx`);
  }

  /**
   * Does one small piece of work.
   *
   * @returns false where there is none
   * @throws the error of the file system; the file that was being made is gone then
   */
  step(): boolean {
    const making = this.#making;
    if (making !== undefined) {
      this.#making = undefined;
      if (making.next().done === true) this.#adopt(this.#makingPath);
      else this.#making = making;
      return true;
    }

    if (this.#spares.length > SPARES_MAX) {
      const spare = this.#spares.pop();
      if (spare !== undefined) this.#files.unlink(spare);
      return true;
    }

    if (this.#spares.length >= SPARES_AHEAD) return false;
    this.#begin(() => false);
    return true;
  }

  #begin(isUrgent: () => boolean): void {
    do {
      this.#made += 1;
      this.#makingPath = join(this.#plan.directory, `spare-new-${this.#made}`);
    } while (this.#files.exists(this.#makingPath));
    const plan = {...this.#plan, fileBytes: this.#fileBytes};
    this.#making = makeSpare(this.#files, plan, this.#makingPath, isUrgent);
  }

  /** Nobody waits for zeros: the one that is being made is given up for one without. */
  #makeNow(): string {
    this.#making?.return();
    this.#begin(() => true);
    const making = this.#making;
    this.#making = undefined;
    while (making?.next().done === false);
    return this.#makingPath;
  }

  #resize(fileBytes: number): void {
    if (fileBytes === this.#fileBytes) return;
    this.#fileBytes = fileBytes;
    this.#making?.return();
    this.#making = undefined;
    const spares = this.#spares;
    this.#spares = [];
    for (const path of spares) this.#adopt(path);
  }

  /** One of another size gives its space back. */
  #adopt(path: string): void {
    const fd = this.#files.open(path, 'read');
    const size = this.#files.sizeOf(fd);
    this.#files.close(fd);
    if (size === this.#fileBytes) this.#spares.push(path);
    else this.#files.unlink(path);
  }
}
