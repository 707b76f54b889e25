// All of it without a mouse.

import { assert, assertEqual } from './browser.mjs';

export default async function keyboard({ browser, api }) {
  for (const name of ['alpha', 'beta', 'gamma']) await api.call('POST', 'topics', { name, adapter: 'memory', connection: '' });
  const events = Array.from({ length: 5 }, (_, nth) => ({ type: 'Counted', stream: `s-${nth}`, data: { nth, inside: { deep: [1, 2] } } }));
  await api.call('POST', 'topics/beta/events', { events });
  const page = await browser.open('#/topics');
  await page.see('.main-link', 'gamma');
  await page.press('Tab');
  assertEqual(await page.focus(), 'Skip to the content', 'the first stop skips what is on every page');
  assert(await page.tab.evaluate(() => document.activeElement.getBoundingClientRect().top >= 0), 'and can be seen there');
  await page.press('Enter');
  assertEqual(await page.tab.evaluate(() => document.activeElement.id), 'main', 'the focus is at the content');
  await page.tabTo('alpha');
  await page.press('ArrowDown');
  assertEqual(await page.focus(), 'beta', 'arrows go from topic to topic');
  await api.call('POST', 'topics', { name: 'delta', adapter: 'memory', connection: 'delta' });
  await page.see('.main-link', 'delta');
  assertEqual(await page.focus(), 'beta', 'the focus stays where the list is drawn anew');
  const outline = await page.tab.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assertEqual(outline, 'solid', 'the focus is seen');
  await page.press('End');
  assertEqual(await page.focus(), 'gamma', 'End goes to the last');
  await page.press('Home', 'ArrowDown', 'Enter');
  await page.see('h1', 'beta');
  await page.see('.event-row', 'Counted');
  assertEqual(await page.focus(), 'beta', 'the focus is at the heading of what was gone to');
  await page.tabTo('Append event');
  await api.call('POST', 'topics/beta/events', { type: 'More', data: { inside: { deep: [1, 2] } } });
  await page.see('.facts', '6');
  assertEqual(await page.focus(), 'Append event', 'the focus stays where facts change');
  await page.press('Enter');
  await page.see('dialog[open]');
  assertEqual(await page.focus(), 'Type', 'the focus is in the first field');
  await page.press('Escape');
  await page.gone('dialog');
  assertEqual(await page.focus(), 'Append event', 'and comes back');
  await page.press('Enter');
  await page.see('dialog[open]');
  await page.tab.keyboard.type('Typed');
  await page.press('Tab');
  await page.tab.keyboard.type('s-9');
  await page.press('Enter');
  await page.see('.event-row', 'Typed');
  await page.tabTo('Position 7, Typed');
  await page.press('ArrowDown', 'Enter');
  await page.see('.event-open', '"deep"');
  await page.tabTo('{');
  await page.press('ArrowDown', 'ArrowLeft');
  await page.see('.json .toggle', '1 member');
  await page.press('ArrowRight');
  await page.see('.json', '"deep"');
  await page.tabTo('Type');
  await page.tab.keyboard.type('Typed');
  await page.press('Enter');
  await page.see('a', 'Clear');
  // The focus stays in the filter that was used.
  await page.tab.waitForFunction(() => document.activeElement?.id === 'filter-type');
  await page.go('#/topics/beta/streams');
  await page.see('.main-link', 's-0');
  await page.tabTo('s-0');
  await page.press('ArrowDown', 'Enter');
  await page.see('h1', 's-1');
  page.clean();
}
