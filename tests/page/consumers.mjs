// Consumers and their lag. The topic `orders` has five events, of which `billing` is done with three.

import { assert } from './browser.mjs';

export default async function consumers({ browser, api }) {
  const page = await browser.open('#/topics/orders/consumers');
  await page.see('tr', 'billing');
  const row = await page.tab.$$eval('tbody td', (cells) => cells.map((cell) => cell.textContent));
  assert(row.includes('3') && row.includes('2 events'), `where it is and what is left: ${row}`);
  await api.call('POST', 'topics/orders/events', { events: [{ type: 'More', data: {} }, { type: 'More', data: {} }] });
  await page.see('td', '4 events');
  await page.see('.plot svg');
  await page.see('.plot', 'highest 4 events');
  await page.click('summary', 'As a table');
  await page.see('.plot td', '2 events');
  await page.see('.plot td', '4 events');
  await page.accessible('consumers');
  await page.picture('consumers');
  await page.go('#/topics/quiet/consumers');
  await page.see('.empty', 'No consumers');
  page.clean();
}
