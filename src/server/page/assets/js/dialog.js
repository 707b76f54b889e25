// @ts-check
// Dialogs with a form: Escape closes them, the focus goes back to where it was, problems are shown in them.

import { freshId, h, put } from './dom.js';
import { problem } from './notice.js';

/**
 * Opens a dialog.
 * @param {object} options
 * @param {string} options.title
 * @param {string} [options.text]
 * @param {import('./dom.js').Child[]} options.fields
 * @param {string} options.action what the button says
 * @param {boolean} [options.danger]
 * @param {() => Promise<void>} options.submit throws where it is refused; the dialog stays then
 * @returns {{close: () => void, button: HTMLButtonElement}}
 */
export function openDialog(options) {
  const before = document.activeElement;
  const title = freshId();
  const problems = h('div', { class: 'stack' });
  const button = h('button', { type: 'submit', class: options.danger ? 'primary danger' : 'primary' }, options.action);
  const cancel = h('button', { type: 'button', on: { click: () => dialog.close() } }, 'Cancel');
  const form = h('form', { method: 'dialog', novalidate: true, on: { submit } },
    h('div', { class: 'dialog-head' }, h('h2', { id: title }, options.title), options.text ? h('p', { class: 'muted' }, options.text) : null),
    h('div', { class: 'dialog-body' }, ...options.fields, problems),
    h('div', { class: 'dialog-foot' }, cancel, button));
  const dialog = h('dialog', { 'aria-labelledby': title, on: { close: closed } }, form);

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    if (button.getAttribute('aria-busy') === 'true') return;
    button.setAttribute('aria-busy', 'true');
    put(problems);
    try {
      await options.submit();
      dialog.close();
    } catch (error) {
      put(problems, problem(error));
      problems.scrollIntoView({ block: 'nearest' });
    } finally {
      button.removeAttribute('aria-busy');
    }
  }
  function closed() {
    window.removeEventListener('hashchange', leave);
    dialog.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  }
  function leave() {
    dialog.close();
  }
  window.addEventListener('hashchange', leave);
  document.body.append(dialog);
  dialog.showModal();
  return { close: leave, button };
}

/**
 * A field with its label.
 * @param {string} label
 * @param {HTMLElement} input
 * @param {string} [hint]
 */
export function field(label, input, hint) {
  input.id ||= freshId();
  const hintId = hint ? freshId() : null;
  if (hintId) input.setAttribute('aria-describedby', hintId);
  return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, hint ? h('span', { class: 'hint', id: hintId }, hint) : null);
}

/** For fields in which nothing should be corrected. */
export const EXACT = { autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' };

/**
 * A choice of one of several.
 * @param {Record<string, any>} attributes
 * @param {[string, string][]} choices values and what they are called
 */
export function select(attributes, choices) {
  return h('select', attributes, choices.map(([value, label]) => h('option', { value }, label)));
}

/**
 * Names and values, as many as one likes.
 * @param {string} label
 * @param {Record<string, string>} [given]
 */
export function pairs(label, given = {}) {
  const rows = h('div', { class: 'pairs' });
  /**
   * @param {string} name
   * @param {string} value
   */
  function row(name, value) {
    const key = h('input', { ...EXACT, value: name, 'aria-label': `${label}: name`, placeholder: 'name' });
    const text = h('input', { ...EXACT, value, 'aria-label': `${label}: value`, placeholder: 'value' });
    const remove = h('button', { type: 'button', class: 'quiet', 'aria-label': 'Remove this option', on: { click: () => pair.remove() } }, '×');
    const pair = h('div', { class: 'pair' }, key, text, remove);
    rows.append(pair);
    return key;
  }
  for (const [name, value] of Object.entries(given)) row(name, value);
  const more = h('button', { type: 'button', class: 'small', on: { click: () => row('', '').focus() } }, 'Add an option');
  return {
    element: h('div', { class: 'field' }, h('span', { class: 'label' }, label), rows, h('div', null, more)),
    values() {
      const found = [...rows.children].map((pair) => [...pair.querySelectorAll('input')].map((input) => input.value.trim()));
      return Object.fromEntries(found.filter(([name]) => name !== ''));
    },
  };
}
