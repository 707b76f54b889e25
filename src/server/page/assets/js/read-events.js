// @ts-check
// A page of events, read line by line: no more of it than can be looked at, however large the events are.

import { lines, send } from './api.js';
import { readEvent } from './event.js';

/** How many events a page has. */
export const PAGE = 50;
/** A page ends where it has this many characters, whatever is still to come. */
const ENOUGH = 8 * 1024 * 1024;

/**
 * @param {string} where the path of the events
 * @param {import('./api.js').Query} query
 * @param {AbortSignal} signal
 * @returns {Promise<{events: import('./event.js').Event[], more: boolean}>} newest first, and whether there are more that way
 */
export async function readEvents(where, query, signal) {
  const forward = query.after !== null && query.after !== undefined;
  const response = await send(where, {
    signal,
    headers: { Accept: 'application/x-ndjson' },
    query: { includeDeleted: true, limit: PAGE, direction: forward ? 'forward' : 'backward', ...query },
  });
  const events = [];
  let taken = 0;
  for await (const line of lines(response)) {
    if (line === '') continue;
    events.push(readEvent(line));
    taken += line.length;
    if (taken > ENOUGH) break;
  }
  const more = events.length === PAGE || taken > ENOUGH;
  if (forward) events.reverse();
  return { events, more };
}
