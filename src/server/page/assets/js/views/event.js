// @ts-check
// One event.

import { lines, path, send } from '../api.js';
import { copyText } from '../body-view.js';
import { h, put } from '../dom.js';
import { readEvent } from '../event.js';
import { eventDetails } from '../event-list.js';
import { number } from '../format.js';
import { loading, problem } from '../notice.js';
import { to } from '../router.js';
import { topicFrame } from '../topic-frame.js';

/** @param {import('../main.js').View} view */
export async function eventView(view) {
  const { place, signal } = view;
  const [, name, , text] = place.parts;
  const position = Number(text);
  const around = h('div', { class: 'actions' });
  let drawn = '';
  const body = await topicFrame(view, {
    tab: 'events', title: `Event ${text}`, heading: `Event ${Number.isSafeInteger(position) ? number(position) : text}`,
    actions: [around],
    seen: (topic) => draw(topic.head),
  });
  if (!body) return;
  /** @param {number | null} head */
  function draw(head) {
    const next = head === null || position < head;
    if (drawn === String(next)) return;
    drawn = String(next);
    put(around,
      position > 1 ? h('a', { class: 'button', id: 'previous', href: to(['topics', name, 'events', position - 1]) }, 'Previous') : null,
      next ? h('a', { class: 'button', id: 'next', href: to(['topics', name, 'events', position + 1]) }, 'Next') : null,
      h('a', { class: 'button', href: to(['topics', name, 'events'], { upTo: position }) }, 'In the topic'));
  }
  put(body, loading('the event'));
  try {
    const response = await send(path('topics', name, 'events', text), { signal, headers: { Accept: 'application/json' } });
    let line = '';
    for await (const part of lines(response)) line += part;
    const copy = h('button', { type: 'button', class: 'small', on: { click: () => copyText(line) } }, 'Copy the whole event');
    put(body, h('section', { class: 'panel', 'aria-label': 'Event' }, h('div', { class: 'panel-body' }, eventDetails(readEvent(line), false), h('div', null, copy))));
  } catch (error) {
    if (!signal.aborted) put(body, problem(error, view.again));
  }
}
