// @ts-check
// How each repository is.

import { call, path } from '../api.js';
import { h, put } from '../dom.js';
import { number } from '../format.js';
import { empty, loading, problem } from '../notice.js';
import { poll } from '../poll.js';

/** @param {import('../main.js').View} view */
export function healthView(view) {
  const { main, signal } = view;
  view.title('Health');
  const badge = h('span');
  const list = h('div', null, loading('health'));
  put(main, h('div', { class: 'head' }, h('div', { class: 'head-text' }, h('h1', { tabindex: '-1' }, 'Health'), badge)),
    h('section', { class: 'panel', 'aria-label': 'Repositories' }, list));
  poll(signal, 5000, async () => {
    /** @type {import('../health.js').Report} */
    const report = await call(path('health'), { signal });
    put(badge, h('span', { class: `badge ${report.status}` }, report.status));
    if (report.repositories.length === 0) return put(list, empty('Nothing is open', 'A repository is opened when a topic in it is first used.'));
    put(list, h('table', { class: 'cards' },
      h('thead', null, h('tr', null, ['Repository', 'State', 'Answers in', 'Topics', 'Remarks'].map((name) => h('th', { scope: 'col' }, name)))),
      h('tbody', null, report.repositories.map(row))));
  }, (error) => put(list, h('div', { class: 'panel-body' }, problem(error, view.again))));
}

/** @param {import('../health.js').Repository} repository */
function row({ repository, status, latencySeconds, topics, lastError, notes }) {
  const [adapter, connection] = repository.split(/:(.*)/s);
  const remarks = [lastError, ...(notes ?? [])].filter(Boolean);
  return h('tr', null,
    h('td', null, h('span', null, adapter, ' ', h('code', { class: 'muted' }, connection))),
    h('td', { data: { label: 'State' } }, h('span', { class: `badge ${status}` }, status)),
    h('td', { data: { label: 'Answers in' } }, latency(latencySeconds)),
    h('td', { data: { label: 'Topics' } }, number(topics)),
    h('td', { data: { label: 'Remarks' } }, remarks.length ? h('ul', null, remarks.map((text) => h('li', { class: text === lastError ? 'bad' : null }, text))) : '–'));
}

/** @param {number} seconds */
function latency(seconds) {
  const milliseconds = seconds * 1000;
  return milliseconds < 1 ? '< 1 ms' : `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}
