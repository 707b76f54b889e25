// @ts-check
// A payload or metadata to look at: JSON as a tree that opens as far as one likes, or as it was sent;
// bytes as hexadecimal, base64 or text. Only what is shown is made, so that a mebibyte does not freeze.

import { h, put, toast } from './dom.js';
import { fromBase64 } from './event.js';
import { jsonTree } from './json-tree.js';
import { parse } from './exact-json.js';
import { counted, size } from './format.js';

/** How many characters of a text are shown at a time. */
const TEXT = 32_768;
/** How many bytes in hexadecimal are shown at a time. */
const BYTES = 2048;
/** Beyond this a tree is not made. */
const LARGEST_TREE = 8 * 1024 * 1024;

/**
 * @param {string} name what it is: Payload, or Metadata
 * @param {import('./event.js').Body | null} body
 * @param {string} [contentType]
 * @returns {HTMLElement}
 */
export function bodyView(name, body, contentType = '') {
  if (!body) {
    return h('div', { class: 'body' }, h('div', { class: 'body-head' }, h('strong', null, name), h('span', { class: 'muted' }, 'empty')));
  }
  const forms = body.kind === 'json' ? jsonForms(body.text) : byteForms(body.text);
  const area = h('div', { class: 'body-text', tabindex: '0', role: 'group', 'aria-label': name });
  const buttons = forms.map(({ title, show }) =>
    h('button', { type: 'button', class: 'quiet small', 'aria-pressed': 'false', on: { click: () => choose(title, show) } }, title));
  const copy = h('button', { type: 'button', class: 'quiet small', 'aria-label': `Copy ${name.toLowerCase()}`, on: { click: () => copyText(body.text) } }, 'Copy');
  /**
   * @param {string} title
   * @param {() => HTMLElement} show
   */
  function choose(title, show) {
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.textContent === title));
    put(area, show());
  }
  choose(forms[0].title, forms[0].show);
  const about = [contentType, size(body.size)].filter(Boolean).join(', ');
  return h('div', { class: 'body' },
    h('div', { class: 'body-head' }, h('strong', null, name), h('span', { class: 'muted' }, about),
      h('div', { class: 'actions' }, buttons, copy)),
    area);
}

/** @param {string} text */
function jsonForms(text) {
  const raw = { title: 'As sent', show: () => longText(text) };
  if (text.length > LARGEST_TREE) return [raw];
  return [{ title: 'Tree', show: () => jsonTree(parse(text)) }, raw];
}

/** @param {string} base64 */
function byteForms(base64) {
  const bytes = fromBase64(base64);
  const forms = [
    { title: 'Hex', show: () => hexView(bytes) },
    { title: 'Base64', show: () => longText(base64) },
  ];
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (!/[\x00-\x08\x0e-\x1f]/.test(text.slice(0, TEXT))) forms.unshift({ title: 'Text', show: () => longText(text) });
  } catch {
    // They are no text.
  }
  return forms;
}

/**
 * A text, a part at a time.
 * @param {string} text
 * @returns {HTMLElement}
 */
function longText(text) {
  const pre = h('pre', null, text.slice(0, TEXT));
  if (text.length <= TEXT) return pre;
  let shown = TEXT;
  const more = h('button', { type: 'button', class: 'small more', on: { click: next } }, label());
  function label() {
    return `Show more (${counted(text.length - shown, 'character')} left)`;
  }
  function next() {
    pre.append(text.slice(shown, shown + TEXT));
    shown += TEXT;
    if (shown >= text.length) more.remove();
    else more.textContent = label();
  }
  return h('div', null, pre, more);
}

/**
 * @param {Uint8Array} bytes
 * @returns {HTMLElement}
 */
function hexView(bytes) {
  let shown = 0;
  const pre = h('pre', { class: 'hex' });
  const more = h('button', { type: 'button', class: 'small more', on: { click: next } });
  function next() {
    const end = Math.min(bytes.length, shown + BYTES);
    const rows = [];
    for (let at = shown; at < end; at += 16) rows.push(hexRow(bytes.subarray(at, Math.min(end, at + 16)), at));
    pre.append(rows.join(''));
    shown = end;
    if (shown >= bytes.length) more.remove();
    else more.textContent = `Show more (${size(bytes.length - shown)} left)`;
  }
  const view = h('div', null, pre, more);
  next();
  return view;
}

/**
 * @param {Uint8Array} row
 * @param {number} at
 */
function hexRow(row, at) {
  const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const text = Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·')).join('');
  return `${at.toString(16).padStart(8, '0')}  ${hex.padEnd(47)}  ${text}\n`;
}

/** @param {string} text */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast('Copied.');
  } catch {
    toast('The browser does not let this page copy.');
  }
}
