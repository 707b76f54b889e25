// @ts-check
// Who consumes a topic, and how far behind its end they are.

import { call, path } from '../api.js';
import { h, put } from '../dom.js';
import { counted, number } from '../format.js';
import { empty, loading, problem } from '../notice.js';
import { plot } from '../plot.js';
import { poll } from '../poll.js';
import { sample, samples } from '../samples.js';
import { topicFrame } from '../topic-frame.js';

/**
 * @typedef {object} Consumer
 * @property {string} name
 * @property {'consumer' | 'group' | 'webhook'} kind
 * @property {number} position up to where all is done
 * @property {number} lag
 * @property {string | null} holder who has it now
 */

/** @type {Record<string, string>} */
const KINDS = { consumer: 'Consumer', group: 'Group', webhook: 'Webhook' };

/** @param {import('../main.js').View} view */
export async function consumersView(view) {
  const { place, signal } = view;
  const name = place.parts[1];
  const body = await topicFrame(view, { tab: 'consumers', title: 'Consumers' });
  if (!body) return;
  const list = h('div', null, loading('consumers'));
  const lag = plot('Lag', (events) => counted(Math.round(events), 'event'));
  const plotted = h('section', { class: 'panel', 'aria-label': 'Lag', hidden: true }, h('div', { class: 'panel-body' }, lag.element));
  body.append(h('section', { class: 'panel', 'aria-label': 'Consumers' }, list), plotted);
  poll(signal, 2000, async () => {
    /** @type {{consumers: Consumer[]}} */
    const { consumers } = await call(path('topics', name, 'consumers'), { signal });
    for (const consumer of consumers) sample(`lag ${name} ${consumer.name}`, consumer.lag);
    plotted.hidden = consumers.length === 0;
    lag.draw([...consumers].sort((one, other) => other.lag - one.lag)
      .map((consumer) => ({ name: consumer.name, points: samples(`lag ${name} ${consumer.name}`) })));
    if (consumers.length === 0) {
      put(list, empty('No consumers', 'Consumers, groups and webhooks that keep their place in this topic show here, with how far behind its end they are.'));
    } else put(list, table(consumers));
  }, (error) => put(list, h('div', { class: 'panel-body' }, problem(error, view.again))));
}

/** @param {Consumer[]} consumers */
function table(consumers) {
  const column = (/** @type {string} */ name, /** @type {string | null} */ kind) => h('th', { scope: 'col', class: kind }, name);
  return h('table', { class: 'cards' },
    h('thead', null, h('tr', null, column('Name', null), column('Kind', null), column('Held by', null), column('Done up to', 'number'), column('Lag', 'number'))),
    h('tbody', null, consumers.map(({ name, kind, holder, position, lag }) => h('tr', null,
      h('td', null, h('strong', null, name)),
      h('td', { data: { label: 'Kind' } }, KINDS[kind] ?? kind),
      h('td', { data: { label: 'Held by' } }, holder ? h('code', null, holder) : h('span', { class: 'muted' }, 'nobody now')),
      h('td', { class: 'number', data: { label: 'Done up to' } }, number(position)),
      h('td', { class: 'number', data: { label: 'Lag' } }, h('span', { class: `badge ${lag === 0 ? 'up' : 'behind'}` }, counted(lag, 'event')))))));
}
