// A browser for the tests: headless Chromium, what the page says and does in it, and where screenshots go.

import { createRequire } from 'node:module';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import process from 'node:process';

const require = createRequire(`${process.env.BROWSER_MODULES}/`);
const puppeteer = require('puppeteer-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export class Failed extends Error {}

/** Fails unless it is so. */
export function assert(is, what) {
  if (!is) throw new Failed(what);
}

export function assertEqual(found, wanted, what) {
  assert(Object.is(found, wanted), `${what}: ${JSON.stringify(found)}, and not ${JSON.stringify(wanted)}`);
}

export class Browser {
  static async start(base) {
    const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb', '--hide-scrollbars'];
    const chromium = await puppeteer.launch({ executablePath: process.env.CHROMIUM, headless: true, args });
    return new Browser(chromium, base);
  }

  constructor(chromium, base) {
    this.chromium = chromium;
    this.base = base;
  }

  close() {
    return this.chromium.close();
  }

  /** A window of its own: another storage, another focus. */
  async open(place = '', { width = 1200, height = 800, colours = 'light' } = {}) {
    const context = await this.chromium.createBrowserContext();
    const tab = await context.newPage();
    const page = new Page(tab, this.base);
    await tab.setViewport({ width, height, deviceScaleFactor: 1 });
    await tab.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: colours }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
    await page.watch();
    await page.go(place);
    return page;
  }
}

/** One page, and all that it should not do. */
export class Page {
  constructor(tab, base) {
    this.tab = tab;
    this.base = base;
    this.wrong = [];
    /** Answers that are errors and belong to the test. */
    this.expected = [];
  }

  async watch() {
    const { tab, base, wrong } = this;
    tab.setDefaultTimeout(15_000);
    tab.on('console', (message) => {
      const text = `${message.text()} ${message.location()?.url ?? ''}`;
      if (!['error', 'warn'].includes(message.type())) return;
      wrong.push(`the console says: ${text}`);
    });
    tab.on('pageerror', (error) => wrong.push(`the page throws: ${error}`));
    tab.on('dialog', (dialog) => {
      wrong.push(`the page opens a dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    tab.on('request', (request) => {
      if (!request.url().startsWith(base) && !request.url().startsWith('data:')) wrong.push(`the page asks ${request.url()}`);
    });
    await tab.evaluateOnNewDocument(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
      });
    });
  }

  /** Nothing has happened that should not. */
  clean() {
    const wrong = this.wrong.filter((text) => !text.includes('Failed to load resource') || !this.expected.some((pattern) => pattern.test(text)));
    assert(wrong.length === 0, wrong.join('\n'));
  }

  /** Goes to a place as one who enters its address. */
  async go(place) {
    const url = `${this.base}/${place}`;
    // Where only the fragment changes, what was shown before stays for a moment.
    await this.tab.evaluate((to) => {
      if (location.href !== to) document.querySelector('main > *')?.setAttribute('data-before', '');
    }, url);
    await this.tab.goto(url);
    await this.tab.waitForSelector('main:not(:has([data-before])) :is(h1, .notice)');
  }

  /** Waits until the selector is there, and with this text if there is one. */
  see(selector, text) {
    return this.tab.waitForFunction((where, what) => {
      const shown = [...document.querySelectorAll(where)].find((one) => one.checkVisibility({ visibilityProperty: true }) &&
        (what === null || one.textContent.includes(what)));
      return shown ?? false;
    }, { polling: 30 }, selector, text ?? null).catch(async () => {
      const seen = await this.text('body');
      throw new Failed(`there is no ${selector} ${text ? `with ${JSON.stringify(text)}` : ''} at ${this.tab.url()}; the page says:\n${seen.slice(0, 1500)}\n${this.wrong.join('\n')}`);
    });
  }

  /** Waits until nothing of the selector, with this text, is to be seen. */
  gone(selector, text) {
    return this.tab.waitForFunction((where, what) => ![...document.querySelectorAll(where)].some((one) =>
      one.checkVisibility() && (what === null || one.textContent.includes(what))), { polling: 30 }, selector, text ?? null);
  }

  async click(selector, text) {
    const element = (await this.see(selector, text)).asElement();
    await element.click();
  }

  /** Fills the field of this label, in the dialog where there is one. */
  async fill(label, value) {
    const field = await this.field(label);
    const kind = await field.evaluate((element) => element.tagName);
    if (kind === 'SELECT') return field.select(value);
    await field.evaluate((element) => { element.value = ''; });
    if (value.length > 200) {
      await field.evaluate((element, text) => { element.value = text; }, value);
    } else await field.type(value);
    return undefined;
  }

  async field(label) {
    const found = await this.tab.waitForFunction((name) => {
      const root = document.querySelector('dialog[open]') ?? document;
      const text = [...root.querySelectorAll('label')].find((one) => one.textContent.trim() === name && !['radio', 'checkbox'].includes(one.control?.type));
      return text?.control ?? false;
    }, { polling: 30 }, label).catch(() => { throw new Failed(`there is no field ${label}`); });
    return found.asElement();
  }

  text(selector) {
    return this.tab.$eval(selector, (element) => element.innerText);
  }

  texts(selector) {
    return this.tab.$$eval(selector, (all) => all.map((one) => one.textContent));
  }

  press(...keys) {
    return keys.reduce((before, key) => before.then(() => this.tab.keyboard.press(key)), Promise.resolve());
  }

  /** What has the focus, in words. */
  focus() {
    return this.tab.evaluate(() => {
      const element = document.activeElement;
      return (element?.getAttribute('aria-label') || element?.labels?.[0]?.textContent || element?.textContent || element?.id || '').trim().slice(0, 80);
    });
  }

  /** Goes on with Tab until something with this text has the focus. */
  async tabTo(text, most = 60) {
    const seen = [];
    for (let step = 0; step < most; step += 1) {
      await this.press('Tab');
      const focus = await this.focus();
      seen.push(focus);
      if (focus === text) return;
    }
    throw new Failed(`Tab does not come to ${text}, but to ${seen.join(' | ')}`);
  }

  /** Keeps a picture where `PAGE_SCREENSHOTS` says. */
  async picture(name) {
    const folder = process.env.PAGE_SCREENSHOTS;
    if (!folder) return;
    fs.mkdirSync(folder, { recursive: true });
    await this.tab.screenshot({ path: path.join(folder, `${name}.png`) });
  }

  /** Nothing reaches beyond the width of the window. */
  async fits(where) {
    const wide = await this.tab.evaluate(() => {
      const width = document.documentElement.clientWidth;
      if (document.documentElement.scrollWidth <= width) return null;
      const beyond = [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > width + 0.5);
      return beyond.slice(0, 5).map((one) => `${one.tagName}.${one.className}`).join(', ') || 'something';
    });
    assert(wide === null, `${where} is wider than the window: ${wide}`);
  }

  /** Nobody is kept out who does not see, or does not use a mouse, as far as axe can tell. */
  async accessible(where) {
    await this.tab.evaluate(axe);
    const found = await this.tab.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    const bad = found.violations.filter(({ impact }) => ['serious', 'critical', 'moderate'].includes(impact));
    const told = bad.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ''}`).join(' ; ')}`);
    assert(bad.length === 0, `${where}: ${told.join('\n')}`);
  }
}

/** A way to the server that can be cut. */
export class Way {
  constructor(to) {
    this.open = new Set();
    this.listener = net.createServer((from) => {
      const there = net.connect(to.port, to.hostname);
      for (const socket of [from, there]) {
        this.open.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.open.delete(socket);
          from.destroy();
          there.destroy();
        });
      }
      from.pipe(there).pipe(from);
    });
    this.port = 0;
  }

  /** Opens it, also where it was cut. */
  async mend() {
    await new Promise((resolve) => this.listener.listen(this.port, '127.0.0.1', resolve));
    this.port = this.listener.address().port;
  }

  async cut() {
    const closed = new Promise((resolve) => this.listener.close(resolve));
    for (const socket of this.open) socket.destroy();
    await closed;
  }

  get base() {
    return `http://127.0.0.1:${this.port}`;
  }
}

/** Requests to the server from outside of the page. */
export class Api {
  constructor(base, headers = {}) {
    this.base = base;
    this.headers = headers;
  }

  async call(method, path, body) {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const headers = { ...this.headers, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) };
    const answer = await fetch(`${this.base}/api/v1/${path}`, { method, headers, body: text });
    const said = await answer.text();
    assert(answer.ok, `${method} ${path} is answered ${answer.status}: ${said}`);
    return said === '' ? null : JSON.parse(said);
  }
}
