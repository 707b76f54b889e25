// @ts-check
// How fast a topic grows.

import { h } from '../dom.js';
import { rate } from '../format.js';
import { plot } from '../plot.js';
import { rates } from '../samples.js';
import { topicFrame } from '../topic-frame.js';

/** @param {import('../main.js').View} view */
export async function throughputView(view) {
  const name = view.place.parts[1];
  const appends = plot('Appended events', rate);
  const draw = () => appends.draw([{ name: 'Events a second', points: rates(`head ${name}`) }]);
  const body = await topicFrame(view, { tab: 'throughput', title: 'Throughput', seen: draw });
  if (!body) return;
  body.append(h('section', { class: 'panel', 'aria-label': 'Throughput' }, h('div', { class: 'panel-body' }, appends.element,
    h('p', { class: 'muted' }, 'As seen by this page while it is open, every two seconds, for five minutes. The server’s own numbers are at ', h('code', null, '/metrics'), '.'))));
  draw();
}
