// The live tail.

import { assert, assertEqual } from './browser.mjs';

export default async function live({ browser, api }) {
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
}
