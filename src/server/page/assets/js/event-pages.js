// @ts-check
// Events by pages, newest first, with links to newer and older ones.

import { h, put } from './dom.js';
import { eventList } from './event-list.js';
import { loading, problem } from './notice.js';
import { readEvents } from './read-events.js';
import { withQuery } from './router.js';

/**
 * Fills `into` with the page of events that the place's query asks for.
 * @param {import('./main.js').View} view
 * @param {HTMLElement} into
 * @param {object} options
 * @param {string} options.where the path of the events
 * @param {'position' | 'version'} options.by
 * @param {import('./api.js').Query} options.filters
 * @param {() => HTMLElement} options.empty what is there where there are none
 */
export async function eventPages(view, into, { where, by, filters, empty }) {
  const { place, signal } = view;
  const after = place.query.get('after');
  const upTo = place.query.get('upTo');
  put(into, loading('events'));
  let page;
  try {
    page = await readEvents(where, { ...filters, after, upTo }, signal);
  } catch (error) {
    if (!signal.aborted) put(into, problem(error, view.again));
    return;
  }
  const { events, more } = page;
  const kept = { ...Object.fromEntries(place.query), after: null, upTo: null };
  const newest = withQuery(place, kept);
  if (events.length === 0) {
    put(into, after || upTo
      ? h('div', { class: 'empty' }, h('strong', null, 'No events here'), h('a', { href: newest }, 'See the newest'))
      : empty());
    return;
  }
  const { list, head, row } = eventList(by, 'Events');
  for (const event of events) list.append(row(event));
  const first = events[0][by];
  const last = events[events.length - 1][by];
  const hasNewer = after ? more : upTo !== null;
  const hasOlder = last > 1 && (after !== null || more);
  const link = (/** @type {string} */ id, /** @type {string} */ label, /** @type {boolean} */ is, /** @type {string} */ href) =>
    (is ? h('a', { class: 'button small', id, href }, label) : null);
  put(into, head, list, h('nav', { class: 'panel-foot', 'aria-label': 'Pages of events' },
    h('span', { class: 'muted' }, `${by === 'version' ? 'Versions' : 'Positions'} ${last} to ${first}`),
    h('div', { class: 'actions' },
      link('newest', 'Newest', after !== null || upTo !== null, newest),
      link('newer', 'Newer', hasNewer, withQuery(place, { ...kept, after: first })),
      link('older', 'Older', hasOlder, withQuery(place, { ...kept, upTo: last - 1 })))));
}
