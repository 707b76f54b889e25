// The live tail.

import { Browser, Way, assert, assertEqual } from './browser.mjs';

export default async function live({ browser, base, api }) {
  await api.call('POST', 'topics', { name: 'orders', adapter: 'memory', connection: '' });
  await api.call('POST', 'topics/orders/events', { type: 'Before', data: {} });
  const page = await browser.open('#/topics/orders/live');
  await page.see('[role=status]', 'Live');
  await api.call('POST', 'topics/orders/streams/o-1/events', { type: 'First', data: { by: 'another' } });
  await page.see('.events .type', 'First');
  assertEqual((await page.texts('.events .type')).join(), 'First', 'what was before is not shown');
  await page.see('#announce', '1 new event, the newest: First').catch(async () => {
    // It is there for those who do not see it; where it stands it takes no room.
    assert((await page.text('#announce')).includes('First'), 'what came is told');
  });
  await page.picture('live');
  await page.click('#pause');
  const many = Array.from({ length: 230 }, (_, nth) => ({ type: 'Counted', data: { nth } }));
  await api.call('POST', 'topics/orders/events', { events: many });
  await page.see('.panel-head', 'Paused: 200 new events, 30 older ones not kept');
  assertEqual((await page.texts('.events > li')).length, 1, 'nothing moves while it is paused');
  await page.click('#pause');
  await page.see('.panel-head', '231 events so far');
  assertEqual((await page.texts('.events > li')).length, 200, 'the rows are bounded');
  await page.click('button', 'Clear');
  await page.see('.empty', 'Waiting for events');
  await page.fill('Type', 'Wanted');
  await page.press('Enter');
  await page.tab.waitForFunction(() => location.hash.includes('type=Wanted'));
  await page.see('[role=status]', 'Live');
  await api.call('POST', 'topics/orders/events', { events: [{ type: 'Unwanted', data: {} }, { type: 'Wanted', data: {} }] });
  await page.see('.events .type', 'Wanted');
  assertEqual((await page.texts('.events .type')).join(), 'Wanted', 'only what is asked for is shown');
  page.clean();
  await filtered(page, api);
  await lost(browser, base, api);
}

async function filtered(page, api) {
  await page.go('#/topics/orders/live?tag=rare&prefix=s-');
  await page.see('[role=status]', 'Live');
  await api.call('POST', 'topics/orders/events', { events: [
    { type: 'Untagged', stream: 's-1' }, { type: 'Elsewhere', stream: 'o-1', tags: ['rare'] }, { type: 'Both', stream: 's-1', tags: ['rare'] },
  ] });
  await page.see('.events .type', 'Both');
  assertEqual((await page.texts('.events .type')).join(), 'Both', 'only what has the tag, and begins so, is shown');
}

/** What comes while the connection is away is shown when it is back, and nothing is shown twice. */
async function lost({ chromium }, base, api) {
  const way = new Way(new URL(base));
  await way.mend();
  try {
    await reconnects(await new Browser(chromium, way.base).open('#/topics/orders/live'), way, api);
  } finally {
    await way.cut();
  }
}

async function reconnects(page, way, api) {
  page.expected = [/ERR_/];
  await page.see('[role=status]', 'Live');
  for (const type of ['One', 'Two']) await api.call('POST', 'topics/orders/events', { type, data: {} });
  await page.see('.events .type', 'Two');
  await way.cut();
  await page.see('[role=status]', 'Connecting again');
  await page.see('.problem', 'cannot be reached');
  for (const type of ['Missed', 'Missed too']) await api.call('POST', 'topics/orders/events', { type, data: {} });
  await way.mend();
  await page.see('[role=status]', 'Live');
  await page.see('.events .type', 'Missed too');
  await page.gone('.problem');
  await api.call('POST', 'topics/orders/events', { type: 'New', data: {} });
  await page.see('.events .type', 'New');
  assertEqual((await page.texts('.events .type')).join(), 'New,Missed too,Missed,Two,One', 'each is shown once, the newest first');
  page.clean();
}
