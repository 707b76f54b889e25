// @ts-check
// Where the page begins: which view a place has, the colours, and who is signed in.

import { announce, h, put } from './dom.js';
import { refreshTimes } from './format.js';
import { isAbort } from './api.js';
import { problem } from './notice.js';
import { here, to } from './router.js';
import { authorization, signOut } from './session.js';
import { consumersView } from './views/consumers.js';
import { eventView } from './views/event.js';
import { eventsView } from './views/events.js';
import { healthView } from './views/health.js';
import { liveView } from './views/live.js';
import { placementView } from './views/placement.js';
import { signInView } from './views/sign-in.js';
import { streamView } from './views/stream.js';
import { streamsView } from './views/streams.js';
import { throughputView } from './views/throughput.js';
import { topicsView } from './views/topics.js';

/**
 * @typedef {object} View what a view is given
 * @property {HTMLElement} main where it is put
 * @property {import('./router.js').Place} place
 * @property {AbortSignal} signal when it is left
 * @property {(title: string) => void} title says what is seen
 * @property {() => void} again shows it anew
 */
/** @typedef {(view: View) => void | Promise<void>} Show */

/** @type {Record<string, Show>} the views of a topic */
const OF_TOPIC = {
  events: eventsView,
  streams: streamsView,
  live: liveView,
  consumers: consumersView,
  throughput: throughputView,
  placement: placementView,
};

/**
 * @param {string[]} parts
 * @returns {Show}
 */
function viewOf(parts) {
  const [first, , tab, item] = parts;
  if (first === 'health' && parts.length === 1) return healthView;
  if (first === 'topics' && parts.length === 1) return topicsView;
  if (first === 'topics' && parts.length === 3 && Object.hasOwn(OF_TOPIC, tab)) return OF_TOPIC[tab];
  if (first === 'topics' && parts.length === 4 && item !== undefined) {
    if (tab === 'events') return eventView;
    if (tab === 'streams') return streamView;
  }
  return nothingHere;
}

/** @type {Show} */
function nothingHere({ main, title }) {
  title('Nothing here');
  put(main, h('h1', { tabindex: '-1' }, 'Nothing here'), h('p', null, 'This page has no such place. ', h('a', { href: '#/topics' }, 'See the topics')));
}

const main = /** @type {HTMLElement} */ (document.getElementById('main'));
let left = new AbortController();
let shown = '';

function show() {
  const place = here();
  if (place.parts.length === 0) return void location.replace(to(['topics']));
  if (place.parts[0] === 'topics' && place.parts.length === 2) return void location.replace(to([...place.parts, 'events']));
  const focused = document.activeElement?.id;
  left.abort();
  left = new AbortController();
  const { signal } = left;
  const view = {
    main, place, signal, again: show,
    title: (/** @type {string} */ title) => { document.title = `${title} – Annals`; },
  };
  put(main);
  marks(place.parts[0]);
  const where = place.parts.join('/');
  const fresh = where !== shown;
  if (fresh && shown !== '') scrollTo(0, 0);
  const drawn = Promise.resolve(viewOf(place.parts)(view)).catch((error) => {
    if (!signal.aborted && !isAbort(error)) put(main, problem(error, show));
  });
  if (fresh && shown !== '') arrive();
  else if (focused) {
    keepFocus(focused);
    // What has it may be there only when the server has answered.
    drawn.then(() => signal.aborted || keepFocus(focused));
  }
  shown = where;
}

/**
 * The focus is where it was before the place was shown anew, unless it was taken elsewhere meanwhile.
 * @param {string} id
 */
function keepFocus(id) {
  if (document.activeElement === document.body) document.getElementById(id)?.focus();
}

/** The focus goes to the heading of the place, and is told to those who do not see it. */
function arrive() {
  const heading = main.querySelector('h1');
  if (heading) heading.focus({ preventScroll: true });
  else main.focus({ preventScroll: true });
  announce(document.title);
}

/** @param {string} first */
function marks(first) {
  for (const link of document.querySelectorAll('[data-nav]')) {
    if (link.getAttribute('data-nav') === first) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}

function theme() {
  const choice = /** @type {HTMLSelectElement} */ (document.getElementById('theme'));
  choice.value = document.documentElement.dataset.theme ?? 'auto';
  choice.addEventListener('change', () => {
    if (choice.value === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice.value;
    try {
      localStorage.setItem('annals.theme', choice.value);
    } catch {
      // It holds until the page is left.
    }
  });
}

function session() {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById('session'));
  const label = () => { button.textContent = authorization() ? 'Sign out' : 'Sign in'; };
  function ask() {
    left.abort();
    left = new AbortController();
    signInView(main, () => { label(); show(); });
  }
  button.addEventListener('click', () => {
    if (!authorization()) return ask();
    signOut();
    label();
    show();
  });
  document.addEventListener('annals:unauthorized', () => {
    if (!main.querySelector('.sign-in')) ask();
  });
  label();
}

document.getElementById('skip')?.addEventListener('click', (event) => {
  // The place stays: it is in the address where a skip link would put its target.
  event.preventDefault();
  main.focus();
});
window.addEventListener('hashchange', show);
setInterval(refreshTimes, 5000);
theme();
session();
show();
