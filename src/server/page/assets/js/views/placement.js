// @ts-check
// Where a topic is kept, how its move goes on, and what moves have left.

import { Problem, call, path } from '../api.js';
import { openDialog } from '../dialog.js';
import { h, put, toast } from '../dom.js';
import { counted, number, rate, size, time } from '../format.js';
import { problem } from '../notice.js';
import { poll } from '../poll.js';
import { topicFrame } from '../topic-frame.js';

/** @typedef {import('../api.js').Topic} Topic */
/**
 * @typedef {object} Move
 * @property {'moving' | 'done' | 'failed'} state
 * @property {string} [phase]
 * @property {number} copied
 * @property {number} head
 * @property {number} [eventsPerSecond]
 * @property {import('../api.js').Placement} target
 * @property {string | Record<string, any> | null} [problem]
 */

/** @param {import('../main.js').View} view */
export async function placementView(view) {
  const { place, signal } = view;
  const name = place.parts[1];
  const now = h('section', { class: 'panel', 'aria-labelledby': 'place-now' });
  const former = h('section', { class: 'panel', 'aria-labelledby': 'place-former' });
  const move = h('div');
  let drawn = '';
  // Whether there may be a move that this view has not seen the end of.
  let moving = true;
  const body = await topicFrame(view, {
    tab: 'placement', title: 'Placement',
    seen(topic) {
      moving ||= topic.moving !== null;
      const text = JSON.stringify([topic.storage, topic.options, topic.former, topic.connection]);
      if (text === drawn) return;
      drawn = text;
      drawNow(now, topic, view);
      drawFormer(former, topic, view);
    },
  });
  if (!body) return;
  body.append(move, now, former);
  let shown = '';
  poll(signal, 700, async () => {
    if (!moving) return;
    /** @type {Move | null} */
    const state = await call(path('topics', name, 'move'), { signal }).catch((error) => {
      if (error instanceof Problem && error.status === 404) return null;
      throw error;
    });
    const text = JSON.stringify(state);
    if (text !== shown) drawMove(move, state, view);
    shown = text;
    moving = state?.state === 'moving';
  }, (error) => put(move, problem(error)));
}

/**
 * @param {string} label
 * @param {import('../dom.js').Child} value
 */
const fact = (label, value) => [h('dt', null, label), h('dd', null, value)];

/**
 * @param {HTMLElement} into
 * @param {Topic} topic
 * @param {import('../main.js').View} view
 */
function drawNow(into, topic, view) {
  const options = Object.entries(topic.options);
  const result = h('div', { role: 'status' });
  const button = h('button', { type: 'button', class: 'small', on: { click: verify } }, 'Verify all events');
  async function verify() {
    put(result, h('p', { class: 'muted' }, 'Reading every event …'));
    button.disabled = true;
    try {
      const found = await call(path('topics', topic.name, 'verify'), { method: 'POST', signal: view.signal });
      put(result, h('p', null, `Whole: ${counted(found.events, 'event')}, ${size(found.bytes)}.`));
    } catch (error) {
      if (!view.signal.aborted) put(result, problem(error));
    } finally {
      button.disabled = false;
    }
  }
  put(into,
    h('div', { class: 'panel-head' }, h('h2', { id: 'place-now' }, 'Where it is'), button),
    h('div', { class: 'panel-body' },
      h('dl', { class: 'event-facts' },
        fact('Adapter', topic.adapter),
        fact('Connection', h('code', null, topic.connection || '–')),
        fact('Options', options.length ? h('ul', null, options.map(([name, value]) => h('li', null, h('code', null, `${name} = ${value}`)))) : h('span', { class: 'muted' }, 'none')),
        fact('Storage', h('code', null, topic.storage)),
        fact('Created', time(topic.createdAt, 'both'))),
      result));
}

/**
 * @param {HTMLElement} into
 * @param {Topic} topic
 * @param {import('../main.js').View} view
 */
function drawFormer(into, topic, view) {
  into.hidden = topic.former.length === 0;
  function remove() {
    openDialog({
      title: 'Remove what moves have left?',
      text: 'The events stay where the topic is now. The copies at its former places are erased for good.',
      action: 'Remove',
      danger: true,
      fields: [],
      async submit() {
        const { removed } = await call(path('topics', topic.name, 'former'), { method: 'DELETE' });
        toast(`${counted(removed.length, 'former place')} removed.`);
        view.again();
      },
    });
  }
  put(into,
    h('div', { class: 'panel-head' }, h('h2', { id: 'place-former' }, 'Former places'), h('button', { type: 'button', class: 'small danger', on: { click: remove } }, 'Remove …')),
    h('div', { class: 'panel-body' }, h('ul', { class: 'stack' }, topic.former.map(({ adapter, connection, storage }) =>
      h('li', null, adapter, ' ', h('code', null, connection), h('div', { class: 'muted mono' }, storage))))));
}

/**
 * @param {HTMLElement} into
 * @param {Move | null} move
 * @param {import('../main.js').View} view
 */
function drawMove(into, move, view) {
  if (!move) return put(into);
  const where = h('span', null, move.target.adapter, ' ', h('code', null, move.target.connection));
  if (move.state === 'moving') {
    const part = move.head > 0 ? Math.min(1, move.copied / move.head) : 0;
    const speed = move.eventsPerSecond ? `, ${rate(move.eventsPerSecond)}` : '';
    put(into, h('section', { class: 'panel', 'aria-labelledby': 'move-now' },
      h('div', { class: 'panel-head' }, h('h2', { id: 'move-now' }, 'Moving to ', where), h('button', { type: 'button', class: 'small', id: 'cancel-move', on: { click: () => cancel(view, into) } }, 'Cancel the move')),
      h('div', { class: 'panel-body' }, h('progress', { value: String(part), max: '1', 'aria-label': 'Events copied' }),
        h('p', { class: 'muted' }, `${number(move.copied)} of ${counted(move.head, 'event')} copied${speed}${move.phase ? ` (${move.phase})` : ''}`))));
  } else if (move.state === 'done') {
    put(into, h('div', { class: 'notice', role: 'status' }, h('strong', null, 'Moved'), h('p', null, counted(move.copied, 'event'), ' copied to ', where, '.')));
  } else {
    const told = typeof move.problem === 'string' ? move.problem : move.problem?.detail ?? 'The server does not say why.';
    put(into, h('div', { class: 'notice problem', role: 'alert' }, h('strong', null, 'The move failed'), h('p', null, told)));
  }
}

/**
 * @param {import('../main.js').View} view
 * @param {HTMLElement} into
 */
async function cancel(view, into) {
  try {
    await call(path('topics', view.place.parts[1], 'move'), { method: 'DELETE' });
    toast('The move is cancelled.');
  } catch (error) {
    put(into, problem(error));
  }
}
