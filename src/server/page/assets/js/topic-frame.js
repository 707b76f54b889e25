// @ts-check
// What all views of one topic have around them: its name, where it is, what can be done with it, tabs.

import { Problem, call, isAbort, path } from './api.js';
import { appendForm } from './append-form.js';
import { h, put } from './dom.js';
import { number, rate } from './format.js';
import { healthOf, repositories } from './health.js';
import { loading, problem } from './notice.js';
import { poll } from './poll.js';
import { go, to } from './router.js';
import { rateNow, sample } from './samples.js';
import { deleteForm, moveForm, purgeForm, restore } from './topic-forms.js';

/** @typedef {import('./api.js').Topic} Topic */

const TABS = [['events', 'Events'], ['streams', 'Streams'], ['live', 'Live'], ['consumers', 'Consumers'], ['throughput', 'Throughput'], ['placement', 'Placement']];

/** @type {Map<string, Topic>} what was known last, so that going from tab to tab does not blink */
const known = new Map();

/**
 * Puts the frame into the page.
 * @param {import('./main.js').View} view
 * @param {{tab: string, heading?: string, title: string, crumbs?: [string, string][], actions?: HTMLElement[], seen?: (topic: Topic) => void}} options
 * @returns {Promise<HTMLElement | null>} where the view goes, or null where the topic cannot be looked into
 */
export async function topicFrame(view, options) {
  const { main, place, signal } = view;
  const name = place.parts[1];
  view.title(`${options.title} – ${name}`);
  const head = h('div', { class: 'head-text' });
  const actions = h('div', { class: 'actions' });
  const facts = h('dl', { class: 'facts' });
  const body = h('div', { class: 'stack' }, loading('the topic'));
  const tabs = h('nav', { class: 'tabs', 'aria-label': 'Topic' }, TABS.map(([tab, label]) =>
    h('a', { href: to(['topics', name, tab]), id: `tab-${tab}`, 'aria-current': tab === options.tab ? 'page' : null }, label)));
  const crumbs = [['Topics', to(['topics'])], ...(options.heading ? [[name, to(['topics', name, 'events'])]] : []), ...(options.crumbs ?? [])];
  const badge = h('span');
  put(head, h('nav', { 'aria-label': 'Above' }, h('ol', { class: 'crumbs' }, crumbs.map(([label, href]) => h('li', null, h('a', { href }, label))))),
    h('h1', { tabindex: '-1' }, options.heading ?? name), badge);
  const problems = h('div');
  put(main, h('div', { class: 'head' }, head, actions), options.heading ? null : facts, options.heading ? null : tabs, problems, body);
  tabs.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });

  let drawnActions = '';
  /** @param {Topic} topic */
  function draw(topic) {
    known.set(name, topic);
    sample(`head ${name}`, topic.head);
    const state = topic.status === 'deleted' ? 'deleted' : topic.moving ? 'moving' : healthOf(topic);
    put(badge, h('span', { class: `badge ${state}` }, state));
    put(facts, ...factsOf(topic));
    // Buttons are made anew only where others are needed: one of them may have the focus.
    const wanted = `${topic.status} ${Boolean(topic.moving)}`;
    if (wanted !== drawnActions) put(actions, ...(options.actions ?? buttons(topic, view)));
    drawnActions = wanted;
    options.seen?.(topic);
  }
  const before = known.get(name);
  if (before) draw(before);
  let first;
  try {
    first = before ?? await load(name, signal);
  } catch (error) {
    if (isAbort(error)) return null;
    tabs.hidden = true;
    put(body, problem(error, view.again));
    return null;
  }
  draw(first);
  poll(signal, 2000, async () => {
    const [topic] = await Promise.all([load(name, signal), repositories(signal)]);
    put(problems);
    if (topic.status !== first.status) {
      known.set(name, topic);
      view.again();
    } else draw(topic);
  }, (error) => put(problems, problem(error)));
  put(body);
  if (first.status === 'deleted') {
    tabs.hidden = true;
    put(body, h('div', { class: 'notice warning' }, h('strong', null, 'This topic is deleted'),
      h('p', null, 'It takes no appends and shows no events. Restore it to use it again, or purge it to erase its events for good.')));
    return null;
  }
  return body;
}

/**
 * @param {string} name
 * @param {AbortSignal} signal
 * @returns {Promise<Topic>}
 */
async function load(name, signal) {
  try {
    // A deleted one is only in the list: where it is known to be deleted, the list is asked.
    if (known.get(name)?.status !== 'deleted') return await call(path('topics', name), { signal });
  } catch (error) {
    known.delete(name);
    const deleted = error instanceof Problem && error.status === 404 ? await loadDeleted(name, signal) : null;
    if (deleted) return deleted;
    throw error;
  }
  return await loadDeleted(name, signal) ?? call(path('topics', name), { signal });
}

/**
 * @param {string} name
 * @param {AbortSignal} signal
 * @returns {Promise<Topic | null>}
 */
async function loadDeleted(name, signal) {
  const { topics } = await call(path('topics'), { signal, query: { deleted: true } });
  return topics.find((/** @type {Topic} */ topic) => topic.name === name) ?? null;
}

/** @param {Topic} topic */
function factsOf(topic) {
  const fact = (/** @type {string} */ label, /** @type {import('./dom.js').Child} */ value) => h('div', null, h('dt', null, label), h('dd', null, value));
  return [
    fact('Kept in', h('span', null, topic.adapter, ' ', h('code', { class: 'muted' }, topic.connection))),
    fact('Events', number(topic.head)),
    fact('Appended', rate(rateNow(`head ${topic.name}`))),
  ];
}

/**
 * @param {Topic} topic
 * @param {import('./main.js').View} view
 */
function buttons(topic, view) {
  const button = (/** @type {string} */ label, /** @type {string} */ kind, /** @type {() => void} */ click) =>
    h('button', { type: 'button', class: kind, on: { click } }, label);
  const again = () => {
    known.delete(topic.name);
    view.again();
  };
  if (topic.status === 'deleted') {
    return [
      button('Restore', 'primary', () => restore(topic.name).then(again, (error) => put(view.main, problem(error, view.again)))),
      button('Purge …', 'danger', () => purgeForm(topic, () => { known.delete(topic.name); go(to(['topics'])); })),
    ];
  }
  return [
    button('Append event', 'primary', () => appendForm(topic.name, '', view.again)),
    topic.moving ? null : button('Move …', '', () => moveForm(topic, () => { known.delete(topic.name); go(to(['topics', topic.name, 'placement'])); })),
    button('Delete …', 'danger', () => deleteForm(topic, again)),
  ].filter((one) => one !== null);
}
