// The life of a topic, from the first click to the last.

import { assert, assertEqual } from './browser.mjs';

export default async function life({ browser, api, directory }) {
  const page = await browser.open();
  page.expected = [/404/, /400/, /409/];
  await page.see('.empty', 'No topics yet');
  await page.picture('life-empty');
  await create(page, directory);
  await append(page);
  await read(page);
  await move(page, api, directory);
  await remove(page);
  page.clean();
}

async function create(page, directory) {
  await page.click('button', 'Create the first topic');
  await page.fill('Name', 'not a name!');
  await page.fill('Directory', directory);
  await page.click('dialog .primary');
  // What the server says stands in the dialog, which stays.
  await page.see('dialog .problem', 'not a name!');
  assert(!(await page.text('dialog')).includes('Its name'), 'only what is needed is asked for');
  await page.picture('life-create-refused');
  await page.fill('Name', 'orders');
  await page.click('dialog .primary');
  await page.see('h1', 'orders');
  await page.see('.empty', 'No events yet');
  assert(page.tab.url().endsWith('#/topics/orders/events'), `it is shown at its own address: ${page.tab.url()}`);
}

async function append(page) {
  await page.click('button', 'Append event');
  await page.fill('Type', 'OrderPlaced');
  await page.fill('Stream', 'order-42');
  await page.fill('Tags', 'customer:7, region:eu');
  await page.fill('Payload', '{"total": 1.10, "big": 9007199254740993, "lines": [');
  await page.fill('Metadata', '{"user": "eve"}');
  await page.click('dialog .primary');
  await page.see('dialog .problem', 'is not JSON');
  await page.fill('Payload', '{"total": 1.10, "big": 9007199254740993, "lines": [{"sku": "A 1"}]}');
  await page.picture('life-append');
  await page.click('dialog .primary');
  await page.see('.toast', 'Recorded at position 1');
  await page.gone('dialog');
  await page.see('.event-row', 'OrderPlaced');
  // An expectation that does not hold is refused, with what was found.
  await page.click('button', 'Append event');
  await page.fill('Type', 'OrderPaid');
  await page.fill('Stream', 'order-42');
  await page.fill('Append where', 'noStream');
  await page.click('dialog .primary');
  await page.see('dialog .problem', 'wrong-expected-version');
  await page.see('dialog .problem', 'Found: 1');
  await page.fill('Append where', 'exact');
  await page.fill('Version', '1');
  await page.fill('Payload is', 'base64');
  await page.fill('Payload', 'AAEC/w==');
  await page.click('dialog .primary');
  await page.see('.event-row', 'OrderPaid');
}

async function read(page) {
  await page.click('.at', '1');
  const open = '.event-open';
  await page.see(open, '9007199254740993');
  await page.see(open, '1.10');
  await page.see(open, '"eve"');
  await page.see(open, 'customer:7');
  // Closing a part of the tree hides what is in it.
  await page.click(`${open} .toggle`, '"lines"');
  await page.see(`${open} .toggle`, '1 item');
  await page.click(`${open} button`, 'As sent');
  await page.see(`${open} pre`, '{"total":1.10,"big":9007199254740993,"lines":[{"sku":"A 1"}]}');
  await page.picture('life-event');
  // The event has an address of its own, the next one is one step away, and back is back.
  await page.click(`${open} .event-facts a`, '1');
  await page.see('h1', 'Event 1');
  await page.click('#next');
  await page.see('h1', 'Event 2');
  await page.see('.hex', '00 01 02 ff');
  await page.see('.body-head', '4 bytes');
  await page.click('.body-head button', 'Base64');
  await page.see('.body-text', 'AAEC/w==');
  await page.tab.goBack();
  await page.see('h1', 'Event 1');
  await page.tab.reload();
  await page.see('h1', 'Event 1');
  await page.click('.event-facts a', 'order-42');
  await page.see('h1', 'order-42');
  await page.see('main', 'Version 2');
  assertEqual((await page.texts('.events .type')).join(), 'OrderPaid,OrderPlaced', 'the newest is first');
  await page.click('button', 'Delete');
  await page.click('dialog .danger', 'Delete stream');
  await page.see('.badge', 'deleted');
  await page.see('.event-row', 'OrderPlaced');
  await page.click('button', 'Restore');
  await page.see('button', 'Append event');
}

async function move(page, api, directory) {
  // Enough to be seen on the way.
  const events = Array.from({ length: 4000 }, (_, nth) => ({ type: 'Counted', data: { nth, text: 'x'.repeat(300) } }));
  for (let turn = 0; turn < 4; turn += 1) await api.call('POST', 'topics/orders/events', { events });
  await page.go('#/topics/orders/placement');
  await page.see('h2', 'Where it is');
  await page.tab.evaluate(() => {
    const look = () => { if (document.querySelector('progress')) globalThis.seen = document.querySelector('main').innerText; };
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  });
  await page.click('button', 'Move');
  await page.fill('Directory', `${directory}/elsewhere`);
  await page.picture('life-move');
  await page.click('dialog .primary');
  await page.see('.notice', 'Moved');
  const seen = await page.tab.evaluate(() => globalThis.seen ?? '');
  assert(/of 16,0\d\d events copied/.test(seen), `the move was shown on its way: ${seen}`);
  await page.see('.event-facts', `${directory}/elsewhere`);
  await page.picture('life-moved');
  await page.see('h2', 'Former places');
  await page.click('button', 'Verify all events');
  await page.see('[role=status]', 'Whole: 16,0');
  await page.click('button', 'Remove');
  await page.click('dialog .danger', 'Remove');
  await page.see('.toast', '1 former place removed');
  await page.gone('h2', 'Former places');
}

async function remove(page) {
  await page.click('button', 'Delete');
  await page.click('dialog .danger', 'Delete topic');
  await page.see('.notice', 'This topic is deleted');
  await page.click('button', 'Restore');
  await page.see('.tabs', 'Events');
  await page.see('.badge', 'up');
  await page.click('button', 'Delete');
  await page.click('dialog .danger', 'Delete topic');
  await page.see('.notice', 'This topic is deleted');
  await page.picture('life-deleted');
  await page.go('#/topics');
  await page.see('.empty', 'No topics yet');
  await page.click('label', 'Show deleted');
  await page.click('.main-link', 'orders');
  await page.click('button', 'Purge');
  // Only who types the name erases it.
  await page.fill('Type orders to go on', 'order');
  await page.click('dialog .danger');
  await page.see('dialog .problem', 'Another name');
  await page.fill('Type orders to go on', 'orders');
  await page.picture('life-purge');
  await page.click('dialog .danger');
  await page.see('h1', 'Topics');
  await page.see('.empty', 'No topics yet');
}
