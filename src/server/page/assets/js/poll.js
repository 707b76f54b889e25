// @ts-check
// Asking again and again, while the page is looked at.

/**
 * Calls `ask` at once and then `every` milliseconds after it has ended, until the signal; not while the
 * page is hidden, and less often while it fails.
 * @param {AbortSignal} signal
 * @param {number} every
 * @param {() => Promise<void>} ask
 * @param {(error: unknown) => void} failed
 */
export async function poll(signal, every, ask, failed) {
  let wait = every;
  while (!signal.aborted) {
    try {
      await ask();
      wait = every;
    } catch (error) {
      if (signal.aborted) return;
      failed(error);
      wait = Math.min(wait * 2, 30_000);
    }
    await pause(signal, wait);
    if (document.hidden) await shown(signal);
  }
}

/**
 * @param {AbortSignal} signal
 * @param {number} time
 * @returns {Promise<void>}
 */
export function pause(signal, time) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, time);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function shown(signal) {
  return new Promise((resolve) => {
    function look() {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener('visibilitychange', look);
      signal.removeEventListener('abort', look);
      resolve();
    }
    document.addEventListener('visibilitychange', look);
    signal.addEventListener('abort', look);
    look();
  });
}
