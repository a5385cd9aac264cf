/** `mars events --host`: the events of another node, a page at a time, as peers ask and answer. */
import {setTimeout as pause} from 'node:timers/promises';
import type {EventsPage} from '../control/api.js';
import type {EventLine} from '../core/disk-status.js';

const FOLLOW_MS = 1000;

/**
 * As the lines of `GET path`.
 *
 * @param get asks the other node
 * @param path of the stream, `/v1/events` with its query
 */
export async function* readEventPages(
  get: (path: string) => Promise<EventsPage>,
  path: string,
): AsyncGenerator<EventLine> {
  const {searchParams} = new URL(path, 'http://mars');
  const follow = searchParams.get('follow') === '1';
  searchParams.delete('follow');
  for (;;) {
    const {events, next} = await get(`/v1/events/page?${searchParams.toString()}`);
    yield* events;
    if (next === (searchParams.get('after') ?? '')) {
      if (!follow) return;
      await pause(FOLLOW_MS);
    }

    searchParams.set('after', next);
  }
}
