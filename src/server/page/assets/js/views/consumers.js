// @ts-check
// Who consumes a topic, and how far behind its end they are.

import { Problem, call, path } from '../api.js';
import { h, put } from '../dom.js';
import { counted, number } from '../format.js';
import { empty, loading, problem } from '../notice.js';
import { plot } from '../plot.js';
import { poll } from '../poll.js';
import { sample, samples } from '../samples.js';
import { topicFrame } from '../topic-frame.js';

/**
 * @typedef {object} Group
 * @property {string} group
 * @property {number} checkpoint
 * @property {number} lag
 * @property {number} [members]
 * @property {number} [parked]
 */

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
    const groups = await load(name, signal);
    for (const group of groups) sample(`lag ${name} ${group.group}`, group.lag);
    plotted.hidden = groups.length === 0;
    lag.draw([...groups].sort((one, other) => other.lag - one.lag)
      .map(({ group }) => ({ name: group, points: samples(`lag ${name} ${group}`) })));
    if (groups.length === 0) {
      put(list, empty('No consumers', 'Groups that take events of this topic and acknowledge them show here, with how far behind they are.'));
    } else put(list, table(groups));
  }, (error) => put(list, h('div', { class: 'panel-body' }, problem(error, view.again))));
}

/**
 * @param {string} topic
 * @param {AbortSignal} signal
 * @returns {Promise<Group[]>}
 */
async function load(topic, signal) {
  try {
    return (await call(path('topics', topic, 'groups'), { signal })).groups;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return [];
    throw error;
  }
}

/** @param {Group[]} groups */
function table(groups) {
  const column = (/** @type {string} */ name, /** @type {string | null} */ kind) => h('th', { scope: 'col', class: kind }, name);
  return h('table', { class: 'cards' },
    h('thead', null, h('tr', null, column('Group', null), column('Members', 'number'), column('Done up to', 'number'), column('Lag', 'number'), column('Parked', 'number'))),
    h('tbody', null, groups.map(({ group, members, checkpoint, lag, parked }) => h('tr', null,
      h('td', null, h('strong', null, group)),
      h('td', { class: 'number', data: { label: 'Members' } }, number(members)),
      h('td', { class: 'number', data: { label: 'Done up to' } }, number(checkpoint)),
      h('td', { class: 'number', data: { label: 'Lag' } }, counted(lag, 'event')),
      h('td', { class: 'number', data: { label: 'Parked' } }, parked ? h('span', { class: 'badge degraded' }, number(parked)) : number(parked))))));
}
