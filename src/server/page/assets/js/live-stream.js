// @ts-check
// Server-sent events by `fetch`: the browser's own reader of them cannot say who is asking.

import { lines, send } from './api.js';
import { pause } from './poll.js';

/** @typedef {{id: string, name: string, data: string}} Message */

/**
 * Reads messages until the signal; where the connection ends it is made anew, from the last message.
 * @param {string} where
 * @param {import('./api.js').Query} query
 * @param {AbortSignal} signal
 * @param {(message: Message) => void} heard
 * @param {(state: 'connected' | 'lost', error: unknown) => void} changed
 */
export async function follow(where, query, signal, heard, changed) {
  let last = '';
  let wait = 500;
  while (!signal.aborted) {
    /** @type {unknown} */
    let lost = null;
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: 'text/event-stream' };
      if (last) headers['Last-Event-ID'] = last;
      const response = await send(where, { query, signal, headers });
      changed('connected', null);
      wait = 500;
      for await (const message of messages(response)) {
        if (message.id) last = message.id;
        heard(message);
      }
    } catch (error) {
      lost = error;
    }
    if (signal.aborted) return;
    changed('lost', lost);
    await pause(signal, wait);
    wait = Math.min(wait * 2, 15_000);
  }
}

/**
 * @param {Response} response
 * @returns {AsyncGenerator<Message, void>}
 */
async function* messages(response) {
  let message = { id: '', name: '', data: '' };
  /** @type {string[]} */
  let data = [];
  for await (const raw of lines(response)) {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    if (line === '') {
      if (data.length) yield { ...message, data: data.join('\n') };
      message = { id: '', name: '', data: '' };
      data = [];
      continue;
    }
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') data.push(value);
    else if (name === 'id') message.id = value;
    else if (name === 'event') message.name = value;
  }
}
