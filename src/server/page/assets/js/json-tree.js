// @ts-check
// JSON as a tree of lists. What is closed is not made, and long lists and texts come in parts.

import { h, put } from './dom.js';
import { counted } from './format.js';

/** How many members are shown at a time. */
const MEMBERS = 100;
/** How much of a text is shown at a time. */
const TEXT = 2000;
/** How many members are opened without being asked for. */
const OPEN = 120;
/** How deep they are opened. */
const DEEP = 4;

/** @typedef {import('./exact-json.js').Node} Node */

/**
 * @param {Node} root
 * @returns {HTMLElement}
 */
export function jsonTree(root) {
  const budget = { left: OPEN };
  const tree = h('div', { class: 'json' }, line(null, root, 0, budget));
  tree.addEventListener('keydown', steer);
  return tree;
}

/**
 * Left closes, right opens, up and down go from one that can be opened to the next.
 * @param {KeyboardEvent} event
 */
function steer(event) {
  const toggle = /** @type {Element} */ (event.target).closest('.toggle');
  if (!(toggle instanceof HTMLElement)) return;
  const open = toggle.getAttribute('aria-expanded') === 'true';
  if ((event.key === 'ArrowRight' && !open) || (event.key === 'ArrowLeft' && open)) toggle.click();
  else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    const all = [.../** @type {Element} */ (event.currentTarget).querySelectorAll('.toggle')];
    const next = all[all.indexOf(toggle) + (event.key === 'ArrowDown' ? 1 : -1)];
    if (next instanceof HTMLElement) next.focus();
  } else return;
  event.preventDefault();
}

/**
 * @param {Node} node
 * @returns {[string | null, Node][]}
 */
const children = (node) => node.members ?? (node.items ?? []).map((item) => [null, item]);

/**
 * @param {string | null} name
 * @param {Node} node
 * @param {number} depth
 * @param {{left: number}} budget
 * @returns {HTMLElement}
 */
function line(name, node, depth, budget) {
  const key = name === null ? null : [h('span', { class: 'key' }, JSON.stringify(name)), ': '];
  if (node.kind !== 'object' && node.kind !== 'array') return h('div', null, key, scalar(node));
  const inside = children(node);
  const marks = node.kind === 'object' ? ['{', '}'] : ['[', ']'];
  if (inside.length === 0) return h('div', null, key, marks.join(''));
  return branch(key, node, inside, marks, depth, budget);
}

/**
 * @param {import('./dom.js').Child[] | null} key
 * @param {Node} node
 * @param {[string | null, Node][]} inside
 * @param {string[]} marks
 * @param {number} depth
 * @param {{left: number}} budget
 */
function branch(key, node, inside, marks, depth, budget) {
  const count = counted(inside.length, node.kind === 'object' ? 'member' : 'item');
  const toggle = h('button', { type: 'button', class: 'toggle', 'aria-expanded': 'false', on: { click: turn } });
  const list = h('ul', { hidden: true });
  const close = h('div', { hidden: true }, marks[1]);
  let made = 0;
  /** @param {{left: number}} opened */
  function open(opened) {
    if (made === 0) more(opened);
    show(true);
  }
  /** @param {{left: number}} opened */
  function more(opened) {
    const end = Math.min(inside.length, made + MEMBERS);
    for (; made < end; made += 1) list.append(h('li', null, line(inside[made][0], inside[made][1], depth + 1, opened)));
    if (made < inside.length) {
      const button = h('button', { type: 'button', class: 'small more', on: { click: () => { button.parentElement?.remove(); more({ left: 0 }); } } },
        `Show more (${counted(inside.length - made, 'more item')})`);
      list.append(h('li', null, button));
    }
  }
  /** @param {boolean} is */
  function show(is) {
    toggle.setAttribute('aria-expanded', String(is));
    list.hidden = !is;
    close.hidden = !is;
    put(toggle, h('span', null, ...(key ?? []), is ? marks[0] : `${marks[0]} ${count} ${marks[1]}`));
  }
  function turn() {
    if (toggle.getAttribute('aria-expanded') === 'true') show(false);
    else open({ left: 0 });
  }
  show(false);
  if (depth < DEEP && budget.left >= inside.length) {
    budget.left -= inside.length;
    open(budget);
  }
  return h('div', null, toggle, list, close);
}

/** @param {Node} node */
function scalar(node) {
  const text = node.text ?? '';
  if (node.kind !== 'string') return h('span', { class: node.kind }, text);
  if (text.length <= TEXT) return h('span', { class: 'text' }, JSON.stringify(text));
  let shown = TEXT;
  const part = h('span', { class: 'text' }, JSON.stringify(text.slice(0, shown)).slice(0, -1));
  const more = h('button', { type: 'button', class: 'small more', on: { click: next } }, label());
  function label() {
    return `… ${counted(text.length - shown, 'more character')}`;
  }
  function next() {
    // Ten times as much each time: a few steps to the end of any.
    const end = Math.min(text.length, shown * 10);
    part.append(JSON.stringify(text.slice(shown, end)).slice(1, -1));
    shown = end;
    if (shown >= text.length) { part.append('"'); more.remove(); }
    else more.textContent = label();
  }
  return h('span', null, part, ' ', more);
}
