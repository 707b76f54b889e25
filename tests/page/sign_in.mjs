// Who may see what, and how they say who they are.

import process from 'node:process';
import { Api, assert, assertEqual } from './browser.mjs';

export default async function signIn({ browser, base }) {
  const { ADMIN_TOKEN: token, PERSON_PASSWORD: password } = process.env;
  const api = new Api(base, { Authorization: `Bearer ${token}` });
  const page = await browser.open('#/topics/orders/events');
  page.expected = [/401/, /403/];
  // Nobody is asked by the browser itself: the page asks, and stays where it was.
  await page.see('h1', 'Sign in');
  await page.fill('Token', 'annals_wrong');
  await page.press('Enter');
  await page.see('.problem', 'does not know these credentials');
  await page.picture('sign-in-refused');
  await page.fill('Token', token);
  await page.press('Enter');
  await page.see('h1', 'orders');
  await page.see('#session', 'Sign out');
  const kept = await page.tab.evaluate(() => [JSON.stringify({ ...localStorage }), document.cookie, location.href].join());
  assert(!kept.includes(token), 'the token is kept for this tab only');
  await page.tab.reload();
  await page.see('h1', 'orders');
  await page.click('#tab-live');
  await page.see('[role=status]', 'Live');
  await api.call('POST', 'topics/orders/events', { type: 'Happened', data: {} });
  await page.see('.events .type', 'Happened');
  await page.go('#/health');
  await page.see('.badge', 'up');
  await page.see('tr', 'memory');
  await page.picture('health');
  await page.accessible('health');
  await page.click('#session', 'Sign out');
  await page.see('h1', 'Sign in');
  assertEqual(await page.tab.evaluate(() => sessionStorage.getItem('annals.credentials')), null, 'nothing is left of it');
  await withPassword(page, password);
  page.clean();
}

async function withPassword(page, password) {
  await page.click('label', 'Name and password');
  await page.fill('Name', 'person');
  await page.fill('Password', password);
  await page.press('Enter');
  await page.see('h1', 'Health');
  // What this caller may not do is said, and by whom it is refused.
  await page.see('.problem', 'Not allowed');
  await page.go('#/topics');
  await page.see('.main-link', 'orders');
  assertEqual((await page.texts('.main-link')).join(), 'orders', 'what may not be seen is not shown');
  await page.click('.main-link', 'orders');
  await page.see('.event-row', 'Happened');
  await page.click('button', 'Append event');
  await page.fill('Type', 'Denied');
  await page.click('dialog .primary');
  await page.see('dialog .problem', 'Not allowed');
}
