// @ts-check
// Events in a list, each of which can be opened where it stands.

import { add, arrows, h } from './dom.js';
import { bodyView } from './body-view.js';
import { peek } from './event.js';
import { number, time } from './format.js';
import { to } from './router.js';

/** @typedef {import('./event.js').Event} Event */

/**
 * A list of events.
 * @param {'position' | 'version'} by what the first column shows
 * @param {string} label
 */
export function eventList(by, label) {
  const list = h('ul', { class: 'events', 'aria-label': label });
  arrows(list, '.at');
  list.addEventListener('click', (event) => {
    const target = /** @type {Element} */ (event.target);
    // Anywhere on a row opens it, but not where something else is clicked or text is being chosen.
    if (target.closest('a, button, .event-open') || String(getSelection())) return;
    const at = target.closest('.event-row')?.querySelector('.at');
    if (at instanceof HTMLElement) at.click();
  });
  const head = h('div', { class: 'events-head', 'aria-hidden': 'true' },
    h('span', null, by === 'version' ? 'Version' : 'Position'), h('span', null, 'Type'),
    h('span', null, by === 'version' ? 'Tags' : 'Stream'), h('span', null, 'Payload'), h('span', null, 'Recorded'));
  return { list, head, row: (/** @type {Event} */ event) => row(event, by) };
}

/**
 * @param {Event} event
 * @param {'position' | 'version'} by
 */
function row(event, by) {
  const item = h('li', { data: { position: String(event.position) } });
  const at = h('button', { type: 'button', class: 'at', 'aria-expanded': 'false', on: { click: turn } },
    h('span', { class: 'hidden' }, by === 'version' ? 'Version ' : 'Position '), number(by === 'version' ? event.version : event.position),
    h('span', { class: 'hidden' }, `, ${event.type}`));
  /** @type {HTMLElement | null} */
  let open = null;
  function turn() {
    if (open) open.remove();
    open = open ? null : h('div', { class: 'event-open' }, eventDetails(event, true));
    if (open) item.append(open);
    at.setAttribute('aria-expanded', String(open !== null));
  }
  const middle = by === 'version'
    ? h('span', { class: 'stream' }, event.tags.map((tag) => [tagLink(event.topic, tag), ' ']).flat())
    : h('span', { class: 'stream' }, streamLink(event.topic, event.stream));
  add(item, [h('div', { class: 'event-row' }, at, h('span', { class: 'type', title: event.type }, event.type), middle,
    h('span', { class: 'peek' }, peek(event.data)), time(event.recordedAt))]);
  return item;
}

/**
 * @param {string} topic
 * @param {string} tag
 */
export const tagLink = (topic, tag) => h('a', { class: 'tag', href: to(['topics', topic, 'events'], { tag }) }, tag);

/**
 * @param {string} topic
 * @param {string} stream
 */
export const streamLink = (topic, stream) =>
  h('a', { href: to(['topics', topic, 'streams', stream]), title: stream || null }, stream || 'default stream');

/**
 * All of an event.
 * @param {Event} event
 * @param {boolean} link whether to link to the event's own place
 */
export function eventDetails(event, link) {
  const { topic, position } = event;
  return h('div', { class: 'stack' },
    h('dl', { class: 'event-facts' },
      fact('Position', link ? h('a', { href: to(['topics', topic, 'events', position]) }, number(position)) : number(position)),
      fact('Type', event.type),
      fact('Stream', h('span', null, streamLink(topic, event.stream), `, version ${number(event.version)}`)),
      fact('Recorded', time(event.recordedAt, 'both')),
      fact('Id', h('code', null, event.id)),
      fact('Tags', event.tags.length ? h('span', null, event.tags.map((tag) => [tagLink(topic, tag), ' ']).flat()) : h('span', { class: 'muted' }, 'none'))),
    bodyView('Payload', event.data, event.contentType),
    event.metadata ? bodyView('Metadata', event.metadata) : null);
}

/**
 * @param {string} name
 * @param {import('./dom.js').Child} value
 */
const fact = (name, value) => [h('dt', null, name), h('dd', null, value)];
