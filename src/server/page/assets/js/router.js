// @ts-check
// Places of the page: `#/topics/orders/streams/order-42?upTo=7`. A place says all that a view needs, so
// that reloading, sharing and going back work.

/**
 * @typedef {object} Place
 * @property {string[]} parts decoded
 * @property {URLSearchParams} query
 */

/** @returns {Place} where the page is */
export function here() {
  const [where, query = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const parts = where === '' ? [] : where.split('/').map(decode);
  return { parts, query: new URLSearchParams(query) };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * A link to a place.
 * @param {(string | number)[]} parts
 * @param {Record<string, string | number | null | undefined>} [query] empty values are left out
 */
export function to(parts, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return `#/${parts.map((part) => encodeURIComponent(part)).join('/')}${text ? `?${text}` : ''}`;
}

/**
 * Goes to a place.
 * @param {string} link
 */
export function go(link) {
  if (location.hash === link) window.dispatchEvent(new HashChangeEvent('hashchange'));
  else location.hash = link;
}

/**
 * The place with another query.
 * @param {Place} place
 * @param {Record<string, string | number | null | undefined>} query
 */
export const withQuery = (place, query) => to(place.parts, query);
