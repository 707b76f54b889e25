// @ts-check
// Requests to the server's API, and what it answers.

import { authorization } from './session.js';

/** Where the API is: beside this page, wherever a proxy has put it. */
const BASE = new URL('api/v1/', document.baseURI);

/**
 * @typedef {object} Placement
 * @property {string} adapter
 * @property {string} connection
 */
/**
 * @typedef {object} Topic
 * @property {string} name
 * @property {'active' | 'deleted'} status
 * @property {string} adapter
 * @property {string} connection
 * @property {Record<string, string>} options
 * @property {string} storage
 * @property {string} createdAt
 * @property {number | null} head
 * @property {{target: Placement, copied: number, sealed: boolean} | null} moving
 * @property {(Placement & {storage: string})[]} former
 */
/**
 * @typedef {object} RecordedEvent an event as the server writes it, payload and metadata apart
 * @property {string} topic
 * @property {number} position
 * @property {string} stream
 * @property {number} version
 * @property {string} id
 * @property {string} type
 * @property {string} recordedAt
 * @property {string[]} tags
 * @property {string} contentType
 */
/** @typedef {Record<string, string | number | boolean | string[] | null | undefined>} Query */

/** What the server says went wrong: `application/problem+json`. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Record<string, any>} members
   */
  constructor(status, members) {
    super(members.detail || members.title || `The server answered ${status}.`);
    this.name = 'Problem';
    this.status = status;
    this.kind = String(members.type ?? '').replace('urn:annals:problem:', '');
    this.title = members.title ?? '';
    this.members = members;
  }
}

/**
 * A path of the API; each part is one segment, whatever is in it.
 * @param {...(string | number)} parts
 */
export const path = (...parts) => parts.map((part) => encodeURIComponent(part)).join('/');

/**
 * @typedef {object} Options
 * @property {string} [method]
 * @property {Query} [query]
 * @property {any} [json] sent as JSON
 * @property {string} [text] sent as it is, as JSON
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

/**
 * @param {string} where a path
 * @param {Options} [options]
 * @returns {Promise<Response>} an answer that is not an error
 */
export async function send(where, options = {}) {
  const url = new URL(where, BASE);
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value === null || value === undefined || value === '') continue;
    for (const one of Array.isArray(value) ? value : [value]) url.searchParams.append(name, String(one));
  }
  const headers = new Headers(options.headers);
  const credentials = authorization();
  if (credentials) headers.set('Authorization', credentials);
  const body = options.text ?? (options.json === undefined ? undefined : JSON.stringify(options.json));
  if (body !== undefined) headers.set('Content-Type', 'application/json');
  let response;
  try {
    // Nothing that the browser would add of its own, so that it never asks for a password itself.
    response = await fetch(url, { method: options.method ?? 'GET', headers, body, signal: options.signal, credentials: 'omit', cache: 'no-store' });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, { title: 'no answer', detail: 'The server cannot be reached.' });
  }
  if (!response.ok) throw await problem(response);
  return response;
}

/** @param {Response} response */
async function problem(response) {
  const text = await response.text().catch(() => '');
  let members = { title: response.statusText, detail: text.slice(0, 500) };
  try {
    members = { ...members, ...JSON.parse(text) };
  } catch {
    // A proxy in between may answer anything.
  }
  if (response.status === 401) document.dispatchEvent(new CustomEvent('annals:unauthorized'));
  return new Problem(response.status, members);
}

/**
 * The answer as JSON; null where there is none.
 * @param {string} where
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function call(where, options = {}) {
  const response = await send(where, { ...options, headers: { Accept: 'application/json', ...options.headers } });
  return response.status === 204 ? null : response.json();
}

/**
 * The lines of an answer, as they come.
 * @param {Response} response
 * @returns {AsyncGenerator<string, void>}
 */
export async function* lines(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [];
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(broken);
      if (done) break;
      const pieces = value.split('\n');
      for (const piece of pieces.slice(0, -1)) {
        parts.push(piece);
        yield parts.join('');
        parts = [];
      }
      parts.push(pieces[pieces.length - 1]);
    }
    const rest = parts.join('');
    if (rest) yield rest;
  } finally {
    // A reader that has enough ends the request.
    reader.cancel().catch(() => {});
  }
}

/**
 * An answer that breaks off says so as one that never came does.
 * @param {unknown} error
 * @returns {never}
 */
function broken(error) {
  throw isAbort(error) ? error : new Problem(0, { title: 'no answer', detail: 'The connection to the server is lost.' });
}

/** @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === 'AbortError';
