// Filters, pages and links.

import { assert, assertEqual } from './browser.mjs';

export default async function search({ browser, api }) {
  await api.call('POST', 'topics', { name: 'orders', adapter: 'memory', connection: '' });
  await fill(api);
  const page = await browser.open('#/topics');
  await page.click('.main-link', 'orders');
  await events(page);
  await streams(page);
  await dots(page, api);
  await large(page, api);
  page.clean();
}

async function fill(api) {
  const events = Array.from({ length: 260 }, (_, nth) => ({
    type: nth % 10 ? 'Placed' : 'Paid', stream: `${nth % 2 ? 'cart' : 'order'}-${nth % 130}`, tags: nth === 77 ? ['rare'] : [], data: { nth },
  }));
  await api.call('POST', 'topics/orders/events', { events });
}

async function events(page) {
  const positions = async () => (await page.texts('.events > li .at')).map((text) => Number(text.match(/\d+/)[0]));
  await page.see('.event-row', '260');
  assertEqual((await positions()).length, 50, 'a page has fifty');
  await page.click('#older');
  await page.see('.panel-foot', 'Positions 161 to 210');
  await page.click('#newer');
  await page.see('.panel-foot', 'Positions 211 to 260');
  await page.tab.goBack();
  await page.see('.panel-foot', 'Positions 161 to 210');
  await page.tab.reload();
  await page.see('.panel-foot', 'Positions 161 to 210');
  await page.go('#/topics/orders/events?upTo=30');
  await page.see('.panel-foot', 'Positions 1 to 30');
  assert(!(await page.tab.$('#older')), 'there is nothing before the first');
  await page.go('#/topics/orders/events');
  await page.fill('Type', 'Paid');
  await page.fill('Stream begins with', 'order-1');
  await page.press('Enter');
  await page.see('a', 'Clear');
  await page.see('.event-row', 'Paid');
  const types = new Set(await page.texts('.events .type'));
  assertEqual([...types].join(), 'Paid', 'only that type is shown');
  await page.go('#/topics/orders/events?tag=rare');
  await page.see('.event-row', '78');
  assertEqual((await positions()).join(), '78', 'only that tag is shown');
  await page.go('#/topics/orders/events?type=Placed');
  await page.see('.event-row', '260');
  await page.click('#older');
  await page.see('a', 'Newest');
  await page.see('.event-row', 'Placed');
  assertEqual([...new Set(await page.texts('.events .type'))].join(), 'Placed', 'older ones are of that type, too');
  await page.go('#/topics/orders/events?prefix=cart-77');
  await page.see('.event-row', '208');
  assertEqual((await positions()).join(), '208,78', 'only streams that begin so are shown');
  await page.go('#/topics/orders/events?tag=none');
  await page.see('.empty', 'No event matches');
}

async function streams(page) {
  await page.click('#tab-streams');
  await page.see('tr', 'order-0');
  assertEqual((await page.texts('td .main-link')).length, 100, 'a page has a hundred');
  await page.click('#next');
  await page.see('tr', 'cart-129');
  await page.click('#first');
  await page.see('tr', 'order-0');
  await page.fill('Begins with', 'cart-12');
  await page.press('Enter');
  await page.see('a', 'Clear');
  await page.see('tr', 'cart-121');
  assert((await page.texts('td .main-link')).every((name) => name.startsWith('cart-12')), 'only such streams are shown');
  await page.picture('search-streams');
  await page.go('#/topics/orders/streams?tag=rare');
  await page.see('tr', 'cart-77');
  assertEqual((await page.texts('td .main-link')).join(), 'cart-77', 'only that stream has the tag');
  await page.go('#/topics/orders/streams?type=Paid');
  await page.see('tr', 'order-0');
  assert(!(await page.texts('td .main-link')).includes('order-2'), 'a stream without the type is not shown');
  await page.click('td .main-link', 'order-0');
  await page.see('h1', 'order-0');
}

/** Streams whose names a browser would take out of a path. */
async function dots(page, api) {
  for (const stream of ['.', '..']) {
    await page.go('#/topics/orders/events');
    await page.click('button', 'Append event');
    await page.fill('Type', `Dotted${stream}`);
    await page.fill('Stream', stream);
    await page.fill('Append where', 'noStream');
    await page.click('dialog .primary');
    await page.see('.event-row', `Dotted${stream}`);
    const { events } = await api.call('GET', `topics/orders/events?type=Dotted${stream}`);
    assertEqual(events.map((event) => event.stream).join(), stream, 'it is in the stream that was named');
    await page.go(`#/topics/orders/streams/${stream}`);
    await page.see('h1', stream);
    await page.see('.event-row', `Dotted${stream}`);
    assertEqual((await page.texts('.events .type')).join(), `Dotted${stream}`, 'the stream has its event and no other');
  }
}

/** Payloads of a mebibyte are there at once, and in parts. */
async function large(page, api) {
  await api.call('POST', 'topics', { name: 'large', adapter: 'memory', connection: 'large' });
  const items = Array.from({ length: 9000 }, (_, nth) => ({ nth, text: 'y'.repeat(90) }));
  for (let nth = 0; nth < 12; nth += 1) await api.call('POST', 'topics/large/events', { type: 'Large', data: { nth, items } });
  await api.call('POST', 'topics/large/events', { type: 'Text', data: 'z'.repeat(1_000_000) });
  await page.go('#/topics/large/events');
  await page.see('.event-row', 'Large');
  await page.click('.at', '12');
  await page.see('.event-open .toggle', '"items": { 9,000 items }'.replace('{ ', '[ ').replace(' }', ' ]'));
  await page.click('.event-open .toggle', '"items"');
  await page.see('.json .more', '8,900 more items');
  const made = await page.tab.$$eval('.json *', (all) => all.length);
  assert(made < 5000, `only what is shown is made: ${made} elements`);
  await page.go('#/topics/large/events/13');
  await page.see('.json .more', '998,000 more characters');
  await page.click('.body-head button', 'As sent');
  await page.see('.body-text .more', 'Show more');
  // The page answers while it has all of this.
  const longest = await page.tab.evaluate(async () => {
    let most = 0;
    for (let turn = 0; turn < 20; turn += 1) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      most = Math.max(most, document.querySelector('pre').textContent.length);
    }
    return most;
  });
  assert(longest <= 32_768, `a part of the text is shown: ${longest}`);
}
