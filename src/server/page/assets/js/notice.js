// @ts-check
// What stands where something is not: problems, emptiness, waiting.

import { h } from './dom.js';
import { Problem } from './api.js';

/** What is said of problems beyond what the server says. */
const FACTS = [['expected', 'Expected'], ['actual', 'Found'], ['position', 'Position'], ['limit', 'Limit'], ['index', 'Event'], ['head', 'Head']];

/**
 * A problem, as the server told it.
 * @param {unknown} error
 * @param {() => void} [again] what the button to try again does
 * @returns {HTMLElement}
 */
export function problem(error, again) {
  const { title, text, facts } = told(error);
  return h('div', { class: 'notice problem', role: 'alert' },
    h('strong', null, title),
    h('p', null, marked(sentence(text) ?? '')),
    facts.length ? h('p', { class: 'muted' }, facts.join(' · ')) : null,
    again ? h('div', { class: 'actions' }, h('button', { type: 'button', class: 'small', on: { click: again } }, 'Try again')) : null);
}

/** @param {unknown} error */
function told(error) {
  if (!(error instanceof Problem)) {
    console.error(error);
    return { title: 'Something went wrong on this page', text: String(error), facts: [] };
  }
  const facts = FACTS.filter(([name]) => error.members[name] !== undefined && error.members[name] !== null)
    .map(([name, label]) => `${label}: ${plain(error.members[name])}`);
  if (error.status) facts.push(`${error.status} ${error.kind}`.trim());
  const title = TITLES[error.status] ?? sentence(error.title) ?? 'The server refused';
  return { title, text: error.message, facts };
}

/**
 * A message in which names and code stand between backticks.
 * @param {string} text
 */
const marked = (text) => text.split('`').map((part, nth, all) => (nth % 2 && nth < all.length - 1 ? h('code', null, part) : nth % 2 ? `\`${part}` : part));

/** @type {Record<number, string>} */
const TITLES = { 401: 'Sign in first', 403: 'Not allowed', 429: 'Too many requests', 503: 'Not available now' };

/** @param {unknown} value */
const plain = (value) => (typeof value === 'object' ? JSON.stringify(value) : String(value));

/** @param {string} text */
const sentence = (text) => (text ? text.charAt(0).toUpperCase() + text.slice(1) : undefined);

/**
 * @param {string} title
 * @param {string} text
 * @param {...import('./dom.js').Child} actions
 */
export function empty(title, text, ...actions) {
  return h('div', { class: 'empty' }, h('strong', null, title), h('p', null, text), ...actions);
}

/** @param {string} what */
export const loading = (what) => h('p', { class: 'loading', role: 'status' }, `Loading ${what} …`);
