import {basename} from 'node:path';
import type {ResourcePaths} from '../../src/core/home.js';
import {bitsOfPage, REGION_BYTES} from '../../src/image/bypass-map.js';
import type {SimDisk} from './sim-disk.js';

const PAGES_OFFSET = 8192;
const PAGE_BYTES = 4096;

/** @returns whether the map of what went past the log has all of a range, as its disk has it now */
export function markedIn(
  disk: SimDisk,
  {directory, bypassFile}: ResourcePaths,
): (offset: number, length: number) => boolean {
  if (!disk.peekNames(directory).includes(basename(bypassFile))) return () => false;
  const size = disk.peekSize(bypassFile);
  const pages: Buffer[] = [];
  for (let at = PAGES_OFFSET; at < size; at += PAGE_BYTES) {
    pages.push(bitsOfPage(disk.peek(bypassFile, at, PAGE_BYTES)));
  }

  const bits = Buffer.concat(pages);
  return (offset, length) => {
    const end = Math.ceil((offset + length) / REGION_BYTES);
    for (let region = Math.floor(offset / REGION_BYTES); region < end; region += 1) {
      if (((bits[region >> 3] ?? 0) & (1 << (region & 7))) === 0) return false;
    }

    return true;
  };
}
