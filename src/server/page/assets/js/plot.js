// @ts-check
// Plots over time, as SVG; what they show is also there as a table.

import { h, put, s } from './dom.js';

/** @typedef {import('./samples.js').Sample} Sample */
/** @typedef {{name: string, points: Sample[]}} Series */
/** @typedef {{element: HTMLElement, draw: (series: Series[]) => void}} Plot */

/** How wide a plot is that is not in the page yet; else it is as wide as its place, so that its text has one size. */
const WIDTH = 640;
const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 20;
const TOP = 6;
/** The span that is shown, in milliseconds. */
const SPAN = 5 * 60_000;
/** How many lines are told apart. */
const MOST = 5;

/**
 * A plot that can be drawn again.
 * @param {string} title
 * @param {(value: number) => string} format
 * @returns {Plot}
 */
export function plot(title, format) {
  const picture = h('div');
  const legend = h('ul', { class: 'legend' });
  const now = h('span', { class: 'muted' });
  const table = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${title}, as a table` });
  const details = h('details', { on: { toggle: () => details.open && drawTable() } }, h('summary', null, 'As a table'), table);
  /** @type {Series[]} */
  let shown = [];

  function drawTable() {
    const times = [...new Set(shown.flatMap(({ points }) => points.map(([at]) => at)))].sort((one, other) => other - one).slice(0, 60);
    put(table, h('table', null,
      h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Time'), shown.map(({ name }) => h('th', { scope: 'col' }, name)))),
      h('tbody', null, times.map((at) => h('tr', null, h('td', null, clock(at)),
        shown.map(({ points }) => h('td', null, valueAt(points, at, format))))))));
  }
  return {
    element: h('figure', { class: 'plot' }, h('figcaption', null, h('h2', { class: 'plot-title' }, title), now), picture, legend, details),
    /** @param {Series[]} series */
    draw(series) {
      shown = series.slice(0, MOST);
      const enough = shown.some(({ points }) => points.length > 1);
      now.textContent = enough ? summary(shown, format) : 'collecting …';
      put(picture, drawing(title, shown, format, Math.max(240, picture.clientWidth || WIDTH)));
      put(legend, shown.length > 1 ? shown.map(({ name }, nth) => h('li', { class: `c${nth}` }, name)) : null);
      if (details.open && !table.matches(':focus-within')) drawTable();
    },
  };
}

/** @param {number} at */
const clock = (at) => new Date(at).toLocaleTimeString('en-GB');

/**
 * @param {Sample[]} points
 * @param {number} at
 * @param {(value: number) => string} format
 */
function valueAt(points, at, format) {
  const found = points.find(([time]) => time === at);
  return found ? format(found[1]) : '';
}

/**
 * @param {Series[]} series
 * @param {(value: number) => string} format
 */
function summary(series, format) {
  const values = series.flatMap(({ points }) => points.map(([, value]) => value));
  const last = series.length === 1 ? series[0].points[series[0].points.length - 1] : undefined;
  return [last ? `now ${format(last[1])}` : '', `highest ${format(Math.max(...values))}`].filter(Boolean).join(', ');
}

/**
 * @param {string} title
 * @param {Series[]} series
 * @param {(value: number) => string} format
 * @param {number} width
 */
function drawing(title, series, format, width) {
  const end = Date.now();
  const top = roundUp(Math.max(1, ...series.flatMap(({ points }) => points.map(([, value]) => value))));
  /** @param {number} at */
  const x = (at) => LEFT + ((width - LEFT) * (at - (end - SPAN))) / SPAN;
  /** @param {number} value */
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const grid = [0, 0.5, 1].map((part) => [
    s('line', { class: 'grid', x1: LEFT, x2: width, y1: y(top * part), y2: y(top * part) }),
    s('text', { class: 'tick', x: LEFT - 8, y: y(top * part) + 4, 'text-anchor': 'end' }, compact(top * part)),
  ]);
  const times = [[0, '5 min ago', 'start'], [0.5, '2½ min ago', 'middle'], [1, 'now', 'end']].map(([part, label, anchor]) =>
    s('text', { class: 'tick', x: LEFT + (width - LEFT) * Number(part), y: HEIGHT - 4, 'text-anchor': anchor }, label));
  const curves = series.map(({ points }, nth) => {
    const seen = points.filter(([at]) => at >= end - SPAN);
    if (seen.length < 2) return [];
    const curve = seen.map(([at, value], first) => `${first ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join('');
    const area = series.length === 1
      ? s('path', { class: 'area', d: `${curve}L${x(seen[seen.length - 1][0]).toFixed(1)} ${y(0)}L${x(seen[0][0]).toFixed(1)} ${y(0)}Z` })
      : null;
    return [area, s('path', { class: `curve c${nth}`, d: curve })];
  });
  const label = `${title}: ${series.length ? summary(series, format) : 'nothing yet'}`;
  return s('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', 'aria-label': label }, ...grid.flat(), ...times, ...curves.flat());
}

/**
 * The next number that is good to read: 1, 2, 5, 10, 20 …
 * @param {number} value
 */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((round) => round >= value) ?? value;
}

const compactFormat = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** @param {number} value */
const compact = (value) => compactFormat.format(value);

/**
 * A plot as small as a word; the number stands beside it.
 * @param {Sample[]} points
 */
export function spark(points) {
  const seen = points.slice(-30);
  const top = Math.max(1e-9, ...seen.map(([, value]) => value));
  const d = seen.map(([, value], nth) => `${nth ? 'L' : 'M'}${((nth * 72) / Math.max(1, seen.length - 1)).toFixed(1)} ${(16.5 - (value / top) * 15).toFixed(1)}`).join('');
  return s('svg', { class: 'spark', viewBox: '0 0 72 18', 'aria-hidden': 'true', preserveAspectRatio: 'none' }, seen.length > 1 ? s('path', { d }) : null);
}
