// Names, events and options that would run if they were taken for anything but text.

import { assert, assertEqual } from './browser.mjs';

const EVIL = '"><img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script><svg onload=globalThis.hacked=1>';
const STREAM = `javascript:globalThis.hacked=1//${EVIL}`;

export default async function hostile({ browser, api }) {
  const page = await browser.open();
  const options = {};
  await api.call('POST', 'topics', { name: 'evil', adapter: 'memory', connection: EVIL, options });
  await api.call('POST', 'topics/evil/events', {
    events: [
      { type: EVIL, stream: STREAM, tags: [EVIL, 'javascript:globalThis.hacked=1'], data: { [EVIL]: EVIL, __proto__x: 1, 'constructor': [EVIL] }, metadata: { [EVIL]: EVIL } },
      { type: 'Text', contentType: `text/html;${'x'.repeat(3)}`, dataBase64: Buffer.from(EVIL).toString('base64') },
    ],
  });
  await page.go('#/topics');
  await page.see('tr', EVIL);
  await page.go('#/topics/evil/events');
  await page.see('.type', EVIL);
  for (const at of await page.tab.$$('.at')) await at.click();
  await page.see('.event-open', EVIL);
  await page.picture('hostile');
  await page.go('#/topics/evil/streams');
  await page.see('.main-link', STREAM);
  await page.click('.main-link', STREAM);
  await page.see('h1', STREAM);
  await page.see('.type', EVIL);
  await page.go('#/topics/evil/placement');
  await page.see('.event-facts', EVIL);
  await page.go(`#/topics/${encodeURIComponent(EVIL)}/events`);
  await page.see('.problem');
  await page.go(`#/${encodeURIComponent(EVIL)}`);
  await page.see('h1', 'Nothing here');
  await page.go('#/topics/evil/live?from=start');
  await page.see('.type', EVIL);
  assertEqual(await page.tab.evaluate(() => globalThis.hacked), undefined, 'nothing ran');
  const made = await page.tab.evaluate(() => document.querySelectorAll('main script, main img, [onload], [onerror], a[href^="javascript"]').length);
  assertEqual(made, 0, 'nothing was made of it');
  page.expected = [/404|400/];
  page.clean();
  const refused = await page.tab.evaluate(() => {
    // The browser itself refuses what the page never does.
    try { document.createElement('p').innerHTML = '<b>'; } catch { return true; }
    return false;
  });
  assert(refused, 'text cannot be made into elements');
  const ran = await page.tab.evaluate(async () => {
    const script = document.createElement('script');
    try { script.text = 'globalThis.hacked=2'; document.body.append(script); } catch { return false; }
    await new Promise((resolve) => setTimeout(resolve));
    return globalThis.hacked === 2;
  });
  assert(!ran, 'a script in the page does not run');
}
