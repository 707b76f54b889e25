// @ts-check
// All topics: where they are, how many events they have, how fast they grow and how they are.

import { call, path } from '../api.js';
import { arrows, h, put } from '../dom.js';
import { counted, number, rate } from '../format.js';
import { healthOf, repositories, worst } from '../health.js';
import { empty, loading, problem } from '../notice.js';
import { plot, spark } from '../plot.js';
import { poll } from '../poll.js';
import { to, withQuery } from '../router.js';
import { rateNow, rates, sample, summedRates } from '../samples.js';
import { createForm } from '../topic-forms.js';

/** How many topics are shown at a time. */
const PAGE = 100;

/** @typedef {import('../api.js').Topic} Topic */

/** @param {import('../main.js').View} view */
export function topicsView(view) {
  const { main, place, signal } = view;
  view.title('Topics');
  const wanted = place.query.get('name') ?? '';
  const deleted = place.query.get('deleted') === 'true';
  const search = h('input', { id: 'topic-search', type: 'search', value: wanted, placeholder: 'Filter by name', 'aria-label': 'Filter by name', autocomplete: 'off', on: { input: filter } });
  const showDeleted = h('input', { id: 'topic-deleted', type: 'checkbox', checked: deleted, on: { change: turn } });
  const overview = h('section', { class: 'panel overview', 'aria-label': 'Overview', hidden: true });
  const throughput = plot('Appends, all topics', rate);
  const facts = h('dl', { class: 'facts large' });
  overview.append(facts, throughput.element);
  const table = h('div', null, loading('topics'));
  const problems = h('div');
  /** @type {Topic[] | null} */
  let topics = null;
  let shown = PAGE;

  put(main,
    h('div', { class: 'head' }, h('div', { class: 'head-text' }, h('h1', { tabindex: '-1' }, 'Topics')),
      h('div', { class: 'actions' }, h('button', { type: 'button', class: 'primary', id: 'new-topic', on: { click: createForm } }, 'New topic'))),
    problems, overview,
    h('section', { class: 'panel', 'aria-label': 'Topics' },
      h('div', { class: 'filters' }, h('div', { class: 'field only' }, search), h('label', { class: 'choice' }, showDeleted, 'Show deleted')), table));

  function filter() {
    // The address follows without a step of its own for every letter.
    history.replaceState(null, '', withQuery(place, { name: search.value, deleted: showDeleted.checked ? 'true' : null }));
    shown = PAGE;
    draw();
  }
  function turn() {
    filter();
    view.again();
  }
  function draw() {
    if (!topics) return;
    overview.hidden = topics.length === 0;
    drawOverview(topics, facts, throughput);
    const text = search.value.toLowerCase();
    const found = topics.filter(({ name }) => name.toLowerCase().includes(text));
    drawTable(table, found, topics.length, shown, () => { shown += PAGE; draw(); });
  }
  poll(signal, 2000, async () => {
    const [answer] = await Promise.all([call(path('topics'), { signal, query: { deleted: deleted || null } }), repositories(signal)]);
    topics = answer.topics;
    for (const topic of answer.topics) sample(`head ${topic.name}`, topic.head);
    put(problems);
    draw();
  }, (error) => {
    put(problems, problem(error, view.again));
    if (!topics) put(table);
  });
}

/**
 * @param {Topic[]} topics
 * @param {HTMLElement} facts
 * @param {import('../plot.js').Plot} throughput
 */
function drawOverview(topics, facts, throughput) {
  const active = topics.filter(({ status }) => status === 'active');
  const names = active.map(({ name }) => `head ${name}`);
  const known = names.map(rateNow).filter((value) => value !== null);
  const all = known.length ? known.reduce((sum, value) => sum + value, 0) : null;
  const events = active.reduce((sum, { head }) => sum + (head ?? 0), 0);
  const fact = (/** @type {string} */ name, /** @type {import('../dom.js').Child} */ value) => h('div', null, h('dt', null, name), h('dd', null, value));
  put(facts, fact('Topics', number(active.length)), fact('Events', number(events)), fact('Appended', rate(all)),
    fact('Repositories', healthSummary()));
  throughput.draw([{ name: 'Events a second', points: summedRates(names) }]);
}

function healthSummary() {
  const state = worst();
  return state ? h('a', { class: `badge ${state}`, href: '#/health' }, state) : '–';
}

/**
 * @param {HTMLElement} into
 * @param {Topic[]} topics
 * @param {number} all
 * @param {number} shown
 * @param {() => void} more
 */
function drawTable(into, topics, all, shown, more) {
  if (topics.length === 0) {
    put(into, all === 0
      ? empty('No topics yet', 'A topic is a log of events with a place of its own: files, a database, an object store or memory.', h('button', { type: 'button', class: 'primary', on: { click: createForm } }, 'Create the first topic'))
      : empty('No topic of that name', `${counted(all, 'topic has', 'topics have')} another one.`));
    return;
  }
  const focused = document.activeElement?.closest('tr')?.getAttribute('data-topic');
  const body = h('tbody', null, topics.slice(0, shown).map(row));
  arrows(body, '.main-link');
  const column = (/** @type {string} */ name, /** @type {string} */ kind = '') => h('th', { scope: 'col', class: kind || null }, name);
  put(into, h('table', { class: 'cards' },
    h('thead', null, h('tr', null, column('Name'), column('Kept in'), column('Events', 'number'), column('Appended', 'number'), column('Health'))), body),
  topics.length > shown ? h('div', { class: 'panel-foot' }, h('span', { class: 'muted' }, `${number(shown)} of ${number(topics.length)}`),
    h('button', { type: 'button', class: 'small', id: 'more-topics', on: { click: more } }, 'Show more')) : null);
  if (focused !== null && focused !== undefined) {
    const link = body.querySelector(`tr[data-topic="${CSS.escape(focused)}"] .main-link`);
    if (link instanceof HTMLElement) link.focus({ preventScroll: true });
  }
}

/** @param {Topic} topic */
function row(topic) {
  const series = `head ${topic.name}`;
  const cell = (/** @type {string} */ label, /** @type {string | null} */ kind, /** @type {import('../dom.js').Child[]} */ ...inside) =>
    h('td', { class: kind, data: { label } }, h('span', { class: kind === null ? 'place' : null }, ...inside));
  const state = topic.status === 'deleted' ? 'deleted' : topic.moving ? 'moving' : healthOf(topic);
  return h('tr', { data: { topic: topic.name } },
    h('td', null, h('a', { class: 'main-link', href: to(['topics', topic.name, 'events']) }, topic.name)),
    cell('Kept in', null, topic.adapter, h('span', { class: 'mono' }, topic.connection)),
    cell('Events', 'number', number(topic.head)),
    cell('Appended', 'number', topic.status === 'active' ? spark(rates(series)) : null, h('span', { class: 'rate' }, topic.status === 'active' ? rate(rateNow(series)) : '–')),
    cell('Health', '', h('span', { class: `badge ${state}` }, state)));
}
