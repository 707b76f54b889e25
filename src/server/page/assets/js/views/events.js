// @ts-check
// The events of a topic, newest first, with filters.

import { call, path } from '../api.js';
import { EXACT, field } from '../dialog.js';
import { h } from '../dom.js';
import { eventPages } from '../event-pages.js';
import { empty } from '../notice.js';
import { go, withQuery } from '../router.js';
import { topicFrame } from '../topic-frame.js';

/** The filters, as they are in the address, and what they are called in the API. */
const FILTERS = [['type', 'Type', 'type'], ['tag', 'Tag', 'tag'], ['prefix', 'Stream begins with', 'streamPrefix']];

/** @param {import('../main.js').View} view */
export async function eventsView(view) {
  const { place, signal } = view;
  const name = place.parts[1];
  const body = await topicFrame(view, { tab: 'events', title: 'Events' });
  if (!body) return;
  const types = h('datalist', { id: 'types' });
  const inputs = FILTERS.map(([key, label]) => ({
    key,
    element: h('input', { ...EXACT, id: `filter-${key}`, type: 'search', value: place.query.get(key) ?? '', list: key === 'type' ? 'types' : null }),
    label,
  }));
  const upTo = h('input', { id: 'filter-position', type: 'number', min: '1', step: '1', inputmode: 'numeric', value: place.query.get('upTo') ?? '' });
  const any = [...place.query.keys()].length > 0;
  const form = h('form', { class: 'filters', role: 'search', 'aria-label': 'Events', on: { submit: apply } },
    inputs.map(({ element, label }) => field(label, element)), field('From position', upTo), types,
    h('div', { class: 'actions' }, h('button', { type: 'submit', id: 'apply' }, 'Apply'),
      any ? h('a', { class: 'button', href: withQuery(place, {}) }, 'Clear') : null));

  /** @param {SubmitEvent} event */
  function apply(event) {
    event.preventDefault();
    go(withQuery(place, { ...Object.fromEntries(inputs.map(({ key, element }) => [key, element.value.trim()])), upTo: upTo.value }));
  }
  const list = h('div');
  body.append(h('section', { class: 'panel', 'aria-label': 'Events' }, form, list));
  offerTypes(name, types, signal);
  const filters = Object.fromEntries(FILTERS.map(([key, , api]) => [api, place.query.get(key)]));
  await eventPages(view, list, {
    where: path('topics', name, 'events'),
    by: 'position',
    filters,
    empty: () => (any
      ? empty('No event matches', 'No event has this type, this tag and a stream that begins so.')
      : empty('No events yet', 'What is appended to this topic shows here, newest first.')),
  });
}

/**
 * The types of the first events, to choose from. That it cannot be known is no harm.
 * @param {string} name
 * @param {HTMLElement} into
 * @param {AbortSignal} signal
 */
export function offerTypes(name, into, signal) {
  call(path('topics', name, 'types'), { signal }).then(({ types }) => {
    for (const { type } of types) into.append(h('option', { value: type }));
  }, () => {});
}
