// The connection to the server is away, and what it had to say is lost.

import { Browser, Way, assert, assertEqual } from './browser.mjs';

export default async function trouble({ browser, base, api }) {
  await api.call('POST', 'topics', { name: 'orders', adapter: 'memory', connection: '' });
  const way = new Way(new URL(base));
  await way.mend();
  try {
    await away(await new Browser(browser.chromium, way.base).open('#/topics'), way, api);
  } finally {
    await way.cut();
  }
  await once(await browser.open('#/topics/orders/events'), api);
}

/** What is known stays to be seen, and the page goes on by itself when the server is back. */
async function away(page, way, api) {
  page.expected = [/ERR_/];
  await page.see('.main-link', 'orders');
  await way.cut();
  await page.see('.problem', 'cannot be reached');
  assert((await page.texts('.main-link')).includes('orders'), 'what was known is still there');
  await api.call('POST', 'topics', { name: 'payments', adapter: 'memory', connection: 'payments' });
  await way.mend();
  await page.see('.main-link', 'payments');
  await page.gone('.problem');
  page.clean();
}

/** Who tries again because the answer was lost records the event once. */
async function once(page, api) {
  page.expected = [/ERR_/];
  let lost = 0;
  await page.tab.setRequestInterception(true);
  page.tab.on('request', async (request) => {
    if (request.method() !== 'POST' || lost > 0) return request.continue();
    lost += 1;
    const headers = { 'Content-Type': 'application/json' };
    const answer = await fetch(request.url(), { method: 'POST', headers, body: request.postData() });
    assertEqual(answer.status, 201, 'it was recorded');
    return request.abort();
  });
  await page.click('button', 'Append event');
  await page.fill('Type', 'Once');
  await page.click('dialog .primary');
  await page.see('dialog .problem', 'cannot be reached');
  await page.click('dialog .primary');
  await page.see('.toast', 'Recorded at position 1');
  await page.see('.event-row', 'Once');
  const { events } = await api.call('GET', 'topics/orders/events');
  assertEqual(events.length, 1, 'it is recorded once');
  page.clean();
}
