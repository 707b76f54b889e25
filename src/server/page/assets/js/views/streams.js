// @ts-check
// The streams of a topic, in the order in which they were begun.

import { call, path } from '../api.js';
import { EXACT, field } from '../dialog.js';
import { arrows, h, put } from '../dom.js';
import { number, time } from '../format.js';
import { empty, loading, problem } from '../notice.js';
import { go, to, withQuery } from '../router.js';
import { topicFrame } from '../topic-frame.js';
import { offerTypes } from './events.js';

const FILTERS = [['prefix', 'Begins with'], ['type', 'Has an event of type'], ['tag', 'Has an event with tag']];
const PAGE = 100;

/**
 * @typedef {object} Stream
 * @property {string} stream
 * @property {number} version
 * @property {boolean} deleted
 * @property {string} createdAt
 * @property {number} createdPosition
 */

/** @param {import('../main.js').View} view */
export async function streamsView(view) {
  const { place, signal } = view;
  const name = place.parts[1];
  const body = await topicFrame(view, { tab: 'streams', title: 'Streams' });
  if (!body) return;
  const types = h('datalist', { id: 'types' });
  const inputs = FILTERS.map(([key, label]) => ({
    key, label,
    element: h('input', { ...EXACT, id: `filter-${key}`, type: 'search', value: place.query.get(key) ?? '', list: key === 'type' ? 'types' : null }),
  }));
  const any = FILTERS.some(([key]) => place.query.get(key));
  const form = h('form', { class: 'filters', role: 'search', 'aria-label': 'Streams', on: { submit: apply } },
    inputs.map(({ label, element }) => field(label, element)), types,
    h('div', { class: 'actions' }, h('button', { type: 'submit', id: 'apply' }, 'Search'), any ? h('a', { class: 'button', href: withQuery(place, {}) }, 'Clear') : null));
  /** @param {SubmitEvent} event */
  function apply(event) {
    event.preventDefault();
    go(withQuery(place, Object.fromEntries(inputs.map(({ key, element }) => [key, element.value.trim()]))));
  }
  const list = h('div', null, loading('streams'));
  body.append(h('section', { class: 'panel', 'aria-label': 'Streams' }, form, list));
  offerTypes(name, types, signal);
  const after = place.query.get('after');
  try {
    const query = { ...Object.fromEntries(FILTERS.map(([key]) => [key, place.query.get(key)])), after, limit: PAGE };
    const answer = await call(path('topics', name, 'streams'), { signal, query });
    draw(view, list, answer, any);
  } catch (error) {
    if (!signal.aborted) put(list, problem(error, view.again));
  }
}

/**
 * @param {import('../main.js').View} view
 * @param {HTMLElement} into
 * @param {{streams: Stream[], lookedTo: number, links: {next?: string | null}}} answer
 * @param {boolean} any
 */
function draw({ place }, into, { streams, lookedTo, links }, any) {
  const name = place.parts[1];
  const kept = { ...Object.fromEntries(place.query), after: null };
  const after = place.query.get('after');
  const foot = h('nav', { class: 'panel-foot', 'aria-label': 'Pages of streams' },
    h('span', { class: 'muted' }, `Looked up to position ${number(lookedTo)}`),
    h('div', { class: 'actions' },
      after ? h('a', { class: 'button small', id: 'first', href: withQuery(place, kept) }, 'First') : null,
      links.next ? h('a', { class: 'button small', id: 'next', href: withQuery(place, { ...kept, after: nextAfter(links.next, lookedTo) }) }, 'Next') : null));
  if (streams.length === 0) {
    const none = any ? empty('No stream matches', 'Where there is more to look at, go on below.') : empty('No streams yet', 'A stream begins with its first event.');
    put(into, none, links.next || after ? foot : null);
    return;
  }
  const body = h('tbody', null, streams.map((stream) => row(name, stream)));
  arrows(body, '.main-link');
  put(into, h('table', { class: 'cards' },
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Stream'), h('th', { scope: 'col', class: 'number' }, 'Version'), h('th', { scope: 'col' }, 'Begun'), h('th', { scope: 'col' }, 'At position'))), body), foot);
}

/**
 * Where the next page begins, from the server's own link.
 * @param {string} link
 * @param {number} otherwise
 */
function nextAfter(link, otherwise) {
  return new URL(link, document.baseURI).searchParams.get('after') ?? otherwise;
}

/**
 * @param {string} topic
 * @param {Stream} stream
 */
function row(topic, { stream, version, deleted, createdAt, createdPosition }) {
  return h('tr', null,
    h('td', null, h('span', null, h('a', { class: 'main-link', href: to(['topics', topic, 'streams', stream]) }, stream || 'default stream'), ' ',
      deleted ? h('span', { class: 'badge deleted' }, 'deleted') : null)),
    h('td', { class: 'number', data: { label: 'Version' } }, number(version)),
    h('td', { data: { label: 'Begun' } }, time(createdAt)),
    h('td', { data: { label: 'At position' } }, h('a', { href: to(['topics', topic, 'events', createdPosition]) }, number(createdPosition))));
}
