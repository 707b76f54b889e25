// @ts-check
// One stream: its version, what can be done with it, and its events.

import { Problem, call, path } from '../api.js';
import { appendForm } from '../append-form.js';
import { openDialog } from '../dialog.js';
import { h, put, toast } from '../dom.js';
import { eventPages } from '../event-pages.js';
import { number } from '../format.js';
import { empty, problem } from '../notice.js';
import { to } from '../router.js';
import { topicFrame } from '../topic-frame.js';

/** Whether the stream has a path of its own: the default stream has none, and browsers take dots away. */
const hasPath = (/** @type {string} */ stream) => !['', '.', '..'].includes(stream);

/** @param {import('../main.js').View} view */
export async function streamView(view) {
  const { place, signal } = view;
  const [, topic, , stream] = place.parts;
  const actions = h('div', { class: 'actions' });
  const body = await topicFrame(view, {
    tab: 'streams', title: stream || 'Default stream', heading: stream || 'Default stream',
    crumbs: [['Streams', to(['topics', topic, 'streams'])]], actions: [actions],
  });
  if (!body) return;
  const facts = h('p', { class: 'muted' });
  const list = h('div');
  body.append(facts, h('section', { class: 'panel', 'aria-label': 'Events of the stream' }, list));
  if (!hasPath(stream)) {
    put(actions, h('button', { type: 'button', class: 'primary', on: { click: () => appendForm(topic, stream, view.again) } }, 'Append event'));
    return eventPages(view, list, { where: `${path('topics', topic, 'events')}?stream=${encodeURIComponent(stream)}`, by: 'position', filters: {}, empty: none });
  }
  const at = path('topics', topic, 'streams', stream);
  call(at, { signal }).then((state) => drawState(view, actions, facts, state), (error) => {
    if (signal.aborted) return;
    if (error instanceof Problem && error.status === 404) put(facts, 'There is no such stream.');
    else put(facts, problem(error));
  });
  await eventPages(view, list, { where: `${at}/events`, by: 'version', filters: {}, empty: none });
}

const none = () => empty('No events', 'Nothing was appended to this stream.');

/**
 * @param {import('../main.js').View} view
 * @param {HTMLElement} actions
 * @param {HTMLElement} facts
 * @param {{stream: string, version: number, deleted: boolean}} state
 */
function drawState(view, actions, facts, { version, deleted }) {
  const [, topic, , stream] = view.place.parts;
  const at = path('topics', topic, 'streams', stream);
  put(facts, 'Version ', h('strong', null, number(version)), deleted ? [' ', h('span', { class: 'badge deleted' }, 'deleted')] : null);
  async function restore() {
    try {
      await call(`${at}/restore`, { method: 'POST' });
      toast('The stream is restored.');
      view.again();
    } catch (error) {
      put(facts, problem(error, view.again));
    }
  }
  function remove() {
    openDialog({
      title: 'Delete this stream?',
      text: 'It takes no more appends. Its events stay in the topic, and it can be restored.',
      action: 'Delete stream',
      danger: true,
      fields: [],
      async submit() {
        await call(at, { method: 'DELETE' });
        view.again();
      },
    });
  }
  if (deleted) put(actions, h('button', { type: 'button', class: 'primary', on: { click: restore } }, 'Restore'));
  else {
    put(actions, h('button', { type: 'button', class: 'primary', on: { click: () => appendForm(topic, stream, view.again) } }, 'Append event'),
      h('button', { type: 'button', class: 'danger', on: { click: remove } }, 'Delete …'));
  }
}
