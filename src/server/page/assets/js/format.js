// @ts-check
// Numbers, sizes and times as text.

import { h } from './dom.js';

const whole = new Intl.NumberFormat('en');
const decimal = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const absolute = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

/**
 * @param {number | null | undefined} value
 * @returns {string}
 */
export const number = (value) => (value === null || value === undefined ? '–' : whole.format(value));

/**
 * A count with its noun.
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export const counted = (count, one, many = `${one}s`) => `${whole.format(count)} ${count === 1 ? one : many}`;

/**
 * Events a second.
 * @param {number | null} value
 */
export function rate(value) {
  if (value === null) return '–';
  if (value > 0 && value < 0.05) return '< 0.1 / s';
  return `${value >= 100 ? whole.format(Math.round(value)) : decimal.format(value)} / s`;
}

/**
 * @param {number} bytes
 */
export function size(bytes) {
  if (bytes < 1024) return counted(bytes, 'byte');
  if (bytes < 1024 * 1024) return `${decimal.format(bytes / 1024)} KiB`;
  return `${decimal.format(bytes / 1024 / 1024)} MiB`;
}

/** @type {[number, Intl.RelativeTimeFormatUnit][]} */
const UNITS = [[60, 'second'], [60, 'minute'], [24, 'hour'], [30, 'day'], [12, 'month'], [Infinity, 'year']];

/**
 * How long ago a time was.
 * @param {number} at milliseconds
 * @param {number} now milliseconds
 */
export function ago(at, now) {
  let amount = (at - now) / 1000;
  if (Math.abs(amount) < 2) return 'just now';
  for (const [most, unit] of UNITS) {
    if (Math.abs(amount) < most) return relative.format(Math.round(amount), unit);
    amount /= most;
  }
  return '';
}

/**
 * A time, relative and kept so; the absolute one is in its title and for those who copy it.
 * @param {string | null | undefined} text RFC 3339
 * @param {'relative' | 'both'} [how]
 * @returns {HTMLElement}
 */
export function time(text, how = 'relative') {
  const at = text ? Date.parse(text) : NaN;
  if (!text || Number.isNaN(at)) return h('span', { class: 'muted' }, text || '–');
  const full = absolute.format(at);
  const since = h('time', { datetime: text, title: `${text}\n${full}`, data: { since: String(at) } }, ago(at, Date.now()));
  return how === 'both' ? h('span', null, `${full} (`, since, ')') : since;
}

/** Brings the relative times that are shown up to date. */
export function refreshTimes() {
  const now = Date.now();
  for (const element of document.querySelectorAll('time[data-since]')) {
    const text = ago(Number(element.getAttribute('data-since')), now);
    if (element.textContent !== text) element.textContent = text;
  }
}
