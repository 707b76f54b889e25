// @ts-check
// Elements are made here, and nowhere from text: what users write is put in as text nodes and
// attributes that cannot run anything.

const SVG = 'http://www.w3.org/2000/svg';

/** @typedef {Node | string | number | null | undefined | false} Child */
/**
 * @typedef {object} Extra
 * @property {Record<string, (event: any) => void>} [on] listeners
 * @property {Record<string, string>} [data] `data-` attributes
 */

/**
 * Makes an element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {(Record<string, any> & Extra) | null} [attributes] null, undefined and false are left out, true is empty
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * Makes an element of SVG.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {(Record<string, any> & Extra) | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {(Record<string, any> & Extra) | null | undefined} attributes
 * @param {(Child | Child[])[]} children
 * @returns {E}
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, /** @type {EventListener} */ (listener));
      }
    } else if (name === 'data') {
      for (const [key, text] of Object.entries(value)) element.setAttribute(`data-${key}`, String(text));
    } else if (name === 'value' && 'value' in element) {
      element.value = value;
    } else if (name.startsWith('on') || name === 'style' || name === 'srcdoc') {
      throw new Error(`the attribute ${name} is not set from here`);
    } else if (name === 'href' && !String(value).startsWith('#')) {
      throw new Error('links lead to places of this page');
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  add(element, children);
  return element;
}

/**
 * Appends children; what is null, undefined or false is left out.
 * @param {Element} element
 * @param {(Child | Child[])[]} children
 */
export function add(element, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/**
 * Replaces what is in an element.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function put(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

/**
 * Says something to those who do not see the page.
 * @param {string} text
 */
export function announce(text) {
  const region = document.getElementById('announce');
  if (region) region.textContent = text;
}

/**
 * Shows something for a few seconds.
 * @param {...Child} children
 */
export function toast(...children) {
  const note = h('div', { class: 'toast', role: 'status' }, ...children);
  document.getElementById('toasts')?.append(note);
  setTimeout(() => note.remove(), 6000);
}

/**
 * Lets the arrow keys, Home and End walk through those elements of a list.
 * @param {HTMLElement} list
 * @param {string} selector
 */
export function arrows(list, selector) {
  list.addEventListener('keydown', (event) => {
    const from = /** @type {Element} */ (event.target).closest(selector);
    if (!from || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(selector)]);
    const at = all.indexOf(/** @type {HTMLElement} */ (from));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, to))]?.focus();
  });
}

let ids = 0;

/** An id that no other element of the page has. */
export function freshId() {
  ids += 1;
  return `x${ids}`;
}
