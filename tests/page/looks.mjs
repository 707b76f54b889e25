// Every place, as it is on a desk, in the dark and on a phone.

import { assert, assertEqual } from './browser.mjs';

const MODES = {
  light: { width: 1200, height: 860 },
  dark: { width: 1200, height: 860, colours: 'dark' },
  phone: { width: 360, height: 740 },
};

const PLACES = {
  topics: ['#/topics', '.main-link'],
  events: ['#/topics/orders/events', '.event-row'],
  event: ['#/topics/orders/events/3', '.json'],
  bytes: ['#/topics/orders/events/41', '.hex'],
  streams: ['#/topics/orders/streams', '.main-link'],
  stream: ['#/topics/orders/streams/order-4', '.event-row'],
  live: ['#/topics/orders/live?from=start', '.event-row'],
  throughput: ['#/topics/orders/throughput', '.plot svg'],
  placement: ['#/topics/orders/placement', '.event-facts'],
  deleted: ['#/topics/gone/events', '.notice.warning'],
  missing: ['#/topics/never/events', '.problem'],
  nothing: ['#/nowhere', 'h1'],
};

export default async function looks({ browser, api, directory }) {
  await fill(api, directory);
  for (const [mode, options] of Object.entries(MODES)) {
    const page = await browser.open('#/topics', options);
    page.expected = [/404/];
    for (const [name, [place, selector]] of Object.entries(PLACES)) {
      await page.go(place);
      await page.see(selector);
      if (name === 'events') await page.click('.at');
      await page.fits(`${mode} ${name}`);
      if (mode !== 'dark' || ['events', 'event', 'topics', 'missing'].includes(name)) await page.accessible(`${mode} ${name}`);
      await page.picture(`${mode}-${name}`);
    }
    await dialogs(page, mode);
    await colours(page, mode);
    page.clean();
  }
}

async function fill(api, directory) {
  await api.call('POST', 'topics', { name: 'orders', adapter: 'file', connection: directory });
  await api.call('POST', 'topics', { name: `a-very-long-name.${'x'.repeat(100)}`, adapter: 'memory', connection: 'a-name-that-is-long'.repeat(4) });
  await api.call('POST', 'topics', { name: 'gone', adapter: 'memory', connection: '' });
  await api.call('DELETE', 'topics/gone');
  const events = Array.from({ length: 40 }, (_, nth) => ({
    type: ['OrderPlaced', 'OrderPaid', 'OrderShipped', 'AddressChangedByTheCustomerAfterShipping'][nth % 4], stream: `order-${nth % 12}`,
    tags: [`customer:${nth % 7}`, 'region:eu'], metadata: { user: 'eve', trace: '4bf92f3577b34da6a3ce929d0e0e4736' },
    data: { order: `order-${nth % 12}`, total: { amount: 40 + nth, currency: 'EUR' }, lines: [{ sku: 'A-1', quantity: 2 }], note: nth % 3 ? null : 'Leave it at the door', express: nth % 2 === 0, token: 'x'.repeat(120) },
  }));
  events.push({ type: 'LabelPrinted', stream: 'order-4', contentType: 'image/png', dataBase64: Buffer.from(Array.from({ length: 3000 }, (_, nth) => (nth * 7) % 256)).toString('base64') });
  await api.call('POST', 'topics/orders/events', { events });
}

async function dialogs(page, mode) {
  await page.go('#/topics');
  await page.click('#new-topic');
  await page.see('dialog[open]');
  await page.fits(`${mode} create`);
  await page.accessible(`${mode} create`);
  await page.picture(`${mode}-create`);
  await page.press('Escape');
  await page.click('#session');
  await page.see('h1', 'Sign in');
  await page.accessible(`${mode} sign in`);
  await page.picture(`${mode}-sign-in`);
  await page.go('#/topics/orders/events');
  await page.click('button', 'Append event');
  await page.see('dialog[open]');
  await page.fits(`${mode} append`);
  await page.accessible(`${mode} append`);
  await page.picture(`${mode}-append`);
  await page.press('Escape');
}

/** The system's colours hold until others are chosen; those hold through a reload. */
async function colours(page, mode) {
  const ground = () => page.tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = 'rgb(18, 20, 22)';
  const light = 'rgb(246, 246, 243)';
  assertEqual(await ground(), mode === 'dark' ? dark : light, `the ground in ${mode}`);
  await page.tab.select('#theme', mode === 'dark' ? 'light' : 'dark');
  assertEqual(await ground(), mode === 'dark' ? light : dark, 'what was chosen');
  await page.tab.reload();
  await page.see('h1');
  assertEqual(await ground(), mode === 'dark' ? light : dark, 'what was chosen, after a reload');
  assert(await page.tab.$eval('#theme', (choice) => choice.value !== 'auto'), 'and the switch says so');
}
