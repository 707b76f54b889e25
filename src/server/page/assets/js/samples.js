// @ts-check
// What was seen of numbers that grow or change, for rates and plots: some minutes of them, kept through a
// reload of this tab.

const KEY = 'annals.samples';
/** The most samples of one series; at one every two seconds, five minutes. */
const MOST = 150;
/** The most series. */
const SERIES = 300;
/** A gap after which what was before says nothing about now, in milliseconds. */
const GAP = 30_000;

/** @typedef {[number, number]} Sample a time in milliseconds, and a value */

/** @type {Map<string, Sample[]>} */
const series = new Map(restored());

/** @returns {[string, Sample[]][]} */
function restored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
  } catch {
    return [];
  }
}

addEventListener('pagehide', () => {
  try {
    sessionStorage.setItem(KEY, JSON.stringify([...series].slice(-40)));
  } catch {
    // They are begun anew.
  }
});

/**
 * Adds what was seen now.
 * @param {string} name
 * @param {number | null | undefined} value
 */
export function sample(name, value) {
  if (value === null || value === undefined) return;
  const now = Date.now();
  const samples = series.get(name) ?? [];
  const last = samples[samples.length - 1];
  // Two views may look at the same moment.
  if (last && now - last[0] < 500) return;
  if (last && now - last[0] > GAP) samples.length = 0;
  samples.push([now, value]);
  if (samples.length > MOST) samples.shift();
  series.delete(name);
  series.set(name, samples);
  for (const oldest of series.keys()) {
    if (series.size <= SERIES) break;
    series.delete(oldest);
  }
}

/**
 * @param {string} name
 * @returns {Sample[]}
 */
export const samples = (name) => series.get(name) ?? [];

/**
 * How much a series grew a second, between any two samples. A name that was used anew begins again.
 * @param {string} name
 * @returns {Sample[]}
 */
export function rates(name) {
  const all = samples(name);
  return all.slice(1).map(([at, value], nth) => {
    const [before, was] = all[nth];
    return [at, Math.max(0, ((value - was) * 1000) / Math.max(1, at - before))];
  });
}

/**
 * How much it grows a second now: over the last ten seconds.
 * @param {string} name
 * @returns {number | null}
 */
export function rateNow(name) {
  const all = samples(name);
  const last = all[all.length - 1];
  const first = all.find(([at]) => last && last[0] - at <= 10_500);
  if (!first || !last || last[0] === first[0]) return null;
  return Math.max(0, ((last[1] - first[1]) * 1000) / (last[0] - first[0]));
}

/**
 * The sum of several series of rates, at the times of the longest.
 * @param {string[]} names
 * @returns {Sample[]}
 */
export function summedRates(names) {
  const buckets = new Map();
  for (const name of names) {
    for (const [at, value] of rates(name)) {
      const second = Math.round(at / 2000) * 2000;
      buckets.set(second, (buckets.get(second) ?? 0) + value);
    }
  }
  return [...buckets].sort((one, other) => one[0] - other[0]);
}
