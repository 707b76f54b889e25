// Runs one script: `node run.mjs NAME BASE DIRECTORY`.

import process from 'node:process';
import { Api, Browser } from './browser.mjs';

const [, , name, base, directory] = process.argv;
const { default: script } = await import(`./${name}.mjs`);
const browser = await Browser.start(base);
try {
  await script({ browser, base, directory, api: new Api(base) });
} catch (error) {
  console.error(error.stack ?? String(error));
  process.exitCode = 1;
} finally {
  await browser.close();
}
