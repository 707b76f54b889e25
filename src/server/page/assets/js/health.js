// @ts-check
// How the repositories are, as far as one may see it.

import { Problem, call, path } from './api.js';

/**
 * @typedef {object} Repository
 * @property {string} repository `adapter:connection`
 * @property {'up' | 'degraded' | 'down'} status
 * @property {number} latencySeconds
 * @property {number | null} [topics]
 * @property {string | null} [lastError]
 * @property {string[]} [notes]
 */
/** @typedef {{status: 'up' | 'degraded' | 'down', repositories: Repository[]}} Report */

/** @type {Report | null} */
let report = null;
let next = 0;

/**
 * Asks how the repositories are, at most every ten seconds: it makes each of them do something.
 * @param {AbortSignal} signal
 */
export async function repositories(signal) {
  if (Date.now() < next) return;
  next = Date.now() + 10_000;
  try {
    report = await call(path('health'), { signal });
  } catch (error) {
    // Not everybody may ask; the rest of the page does not need it.
    if (!(error instanceof Problem)) throw error;
    report = null;
    next = Date.now() + 60_000;
  }
}

export const worst = () => report?.status ?? null;

/**
 * How a topic is: as its repository, and where that is not known, whether its head could be read.
 * @param {import('./api.js').Topic} topic
 */
export function healthOf(topic) {
  const found = report?.repositories.find(({ repository }) => repository === `${topic.adapter}:${topic.connection}`);
  return found?.status ?? (topic.head === null ? 'down' : 'up');
}
