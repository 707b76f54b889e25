// @ts-check
// Events as they are recorded.

import { path } from '../api.js';
import { EXACT, field } from '../dialog.js';
import { announce, h, put } from '../dom.js';
import { readEvent } from '../event.js';
import { eventList } from '../event-list.js';
import { counted } from '../format.js';
import { follow } from '../live-stream.js';
import { empty, problem } from '../notice.js';
import { go, withQuery } from '../router.js';
import { topicFrame } from '../topic-frame.js';

/** How many events are kept on the page. */
const ROWS = 200;
/** And how many characters of them, whatever their number. */
const ENOUGH = 16 * 1024 * 1024;
/** How often those who do not see the list are told what came, in milliseconds. */
const TOLD = 3000;

/** @typedef {import('../event.js').Event} Event */

/** @param {import('../main.js').View} view */
export async function liveView(view) {
  const { place, signal } = view;
  const name = place.parts[1];
  const body = await topicFrame(view, { tab: 'live', title: 'Live' });
  if (!body) return;
  const state = h('span', { role: 'status' });
  const count = h('span', { class: 'muted' });
  const pauseButton = h('button', { type: 'button', id: 'pause', class: 'small', 'aria-pressed': 'false', on: { click: turn } }, 'Pause');
  const clear = h('button', { type: 'button', class: 'small', on: { click: wipe } }, 'Clear');
  const problems = h('div');
  const { list, head, row } = eventList('position', 'Events as they are recorded');
  const waiting = h('div', null, empty('Waiting for events', 'What is appended from now on shows here at once.'));
  body.append(problems, h('section', { class: 'panel', 'aria-label': 'Live' },
    h('div', { class: 'panel-head' }, h('div', { class: 'actions' }, state, count), h('div', { class: 'actions' }, pauseButton, clear)),
    filters(view), waiting, head, list));
  head.hidden = true;

  /** @type {Event[]} what came and is not shown yet */
  let queue = [];
  let [seen, passed, paused, drawing] = [0, 0, false, false];

  function mark(/** @type {string} */ kind, /** @type {string} */ text) {
    put(state, h('span', { class: `live-dot ${kind}`, 'aria-hidden': 'true' }), text);
  }
  function turn() {
    paused = !paused;
    pauseButton.setAttribute('aria-pressed', String(paused));
    pauseButton.textContent = paused ? 'Go on' : 'Pause';
    later();
  }
  function wipe() {
    queue = [];
    list.replaceChildren();
    later();
  }
  function later() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(draw);
  }
  function draw() {
    drawing = false;
    if (!paused) {
      for (const event of queue) {
        const item = row(event);
        item.classList.add('new');
        sizes.set(item, event.line.length);
        list.prepend(item);
      }
      queue = [];
      bound(list);
    }
    const any = list.childElementCount > 0;
    waiting.hidden = any;
    head.hidden = !any;
    const left = passed ? `, ${counted(passed, 'older one')} not kept` : '';
    count.textContent = paused ? `Paused: ${counted(queue.length, 'new event')}${left}` : seen ? `${counted(seen, 'event')} so far` : '';
  }
  /** @param {import('../live-stream.js').Message} message */
  function heard(message) {
    if (message.name === 'behind') return mark('behind', 'Catching up');
    if (message.name === 'caught-up') return mark('live', 'Live');
    if (message.name !== '') return;
    queue.push(readEvent(message.data));
    seen += 1;
    if (queue.length > ROWS) {
      queue.shift();
      passed += 1;
    }
    later();
  }
  mark('', 'Connecting');
  const from = place.query.get('from') === 'start' ? 0 : 'now';
  const query = { after: from, type: place.query.get('type'), tag: place.query.get('tag'), streamPrefix: place.query.get('prefix') };
  follow(path('topics', name, 'live'), query, signal, heard, (what, error) => {
    if (what === 'connected') {
      mark('live', 'Live');
      put(problems);
    } else {
      mark('down', 'Connecting again');
      if (error) put(problems, problem(error));
    }
  });
  tell(signal, () => seen, () => list.querySelector('.type')?.textContent ?? '');
}

/**
 * Keeps the newest.
 * @param {HTMLElement} list
 */
function bound(list) {
  let characters = 0;
  let kept = 0;
  for (const item of [...list.children]) {
    kept += 1;
    characters += sizes.get(item) ?? 0;
    if (kept > ROWS || characters > ENOUGH) item.remove();
  }
}

/** @type {WeakMap<Element, number>} */
const sizes = new WeakMap();

/**
 * Says now and then how many came: every one of them would be a stream of words.
 * @param {AbortSignal} signal
 * @param {() => number} count
 * @param {() => string} newest
 */
function tell(signal, count, newest) {
  let told = 0;
  const timer = setInterval(() => {
    const seen = count();
    if (seen > told) announce(`${counted(seen - told, 'new event')}, the newest: ${newest()}`);
    told = seen;
  }, TOLD);
  signal.addEventListener('abort', () => clearInterval(timer));
}

/** @param {import('../main.js').View} view */
function filters({ place }) {
  const inputs = [['type', 'Type'], ['tag', 'Tag'], ['prefix', 'Stream begins with']].map(([key, label]) => ({
    key, label, element: h('input', { ...EXACT, id: `filter-${key}`, type: 'search', value: place.query.get(key) ?? '' }),
  }));
  return h('form', {
    class: 'filters', role: 'search', 'aria-label': 'Live events',
    on: {
      submit(/** @type {SubmitEvent} */ event) {
        event.preventDefault();
        go(withQuery(place, Object.fromEntries(inputs.map(({ key, element }) => [key, element.value.trim()]))));
      },
    },
  }, inputs.map(({ label, element }) => field(label, element)), h('div', { class: 'actions' }, h('button', { type: 'submit', id: 'apply' }, 'Apply')));
}
