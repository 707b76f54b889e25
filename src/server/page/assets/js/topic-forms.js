// @ts-check
// Dialogs that create, move, delete, restore and purge a topic.

import { Problem, call, path } from './api.js';
import { EXACT, field, openDialog, pairs, select } from './dialog.js';
import { h, toast } from './dom.js';
import { go, to } from './router.js';

/** @typedef {import('./api.js').Topic} Topic */

/** @type {[string, string][]} */
const ADAPTERS = [['file', 'Files in a directory'], ['postgres', 'PostgreSQL'], ['blob', 'Object store'], ['memory', 'Memory'], ['other', 'Another …']];

/** @type {Record<string, {label: string, hint: string, placeholder: string}>} */
const CONNECTIONS = {
  file: { label: 'Directory', hint: 'On the server; made where it is not there', placeholder: './data' },
  postgres: { label: 'Address', hint: 'Write ${NAME} for secrets: the server takes them from its environment', placeholder: '${DATABASE_URL}' },
  blob: { label: 'Address', hint: 's3://, gs://, az:// or file:///; ${NAME} is taken from the environment', placeholder: 's3://bucket/prefix' },
  memory: { label: 'Name', hint: 'Kept until the server stops. May be empty', placeholder: '' },
  other: { label: 'Connection', hint: 'As the adapter wants it', placeholder: '' },
};

/**
 * Fields for where a topic is kept.
 * @param {{adapter: string, connection: string, options: Record<string, string>}} given
 */
function placement(given) {
  const known = ADAPTERS.some(([name]) => name === given.adapter);
  const adapter = select({}, ADAPTERS);
  adapter.value = known ? given.adapter : 'other';
  const other = h('input', { ...EXACT, value: known ? '' : given.adapter });
  const connection = h('input', { ...EXACT, value: given.connection });
  const options = pairs('Options', given.options);
  const otherField = field('Its name', other);
  const connectionField = field('Directory', connection, ' ');
  function adapt() {
    const { label, hint, placeholder } = CONNECTIONS[adapter.value];
    otherField.hidden = adapter.value !== 'other';
    connection.placeholder = placeholder;
    const [name, about] = [connectionField.querySelector('label'), connectionField.querySelector('.hint')];
    if (name) name.textContent = label;
    if (about) about.textContent = hint;
  }
  adapter.addEventListener('change', adapt);
  adapt();
  return {
    fields: [field('Kept in', adapter), otherField, connectionField, options.element],
    values: () => ({
      adapter: adapter.value === 'other' ? other.value : adapter.value,
      connection: connection.value.trim(),
      options: options.values(),
    }),
  };
}

export function createForm() {
  const name = h('input', { ...EXACT, required: true, maxlength: '128', placeholder: 'orders' });
  const where = placement({ adapter: 'file', connection: '', options: {} });
  openDialog({
    title: 'New topic',
    action: 'Create topic',
    fields: [field('Name', name, 'Letters, digits, dots, underscores and hyphens'), ...where.fields],
    async submit() {
      if (!name.value.trim()) {
        name.focus();
        throw new Problem(0, { title: 'A name is needed', detail: 'A topic has a name of letters, digits, dots, underscores and hyphens.' });
      }
      const topic = await call(path('topics'), { method: 'POST', json: { name: name.value.trim(), ...where.values() } });
      go(to(['topics', topic.name, 'events']));
    },
  });
  name.focus();
}

/**
 * Moves a topic, or changes its options.
 * @param {Topic} topic
 * @param {(moving: boolean) => void} done
 */
export function moveForm(topic, done) {
  const where = placement(topic);
  const former = select({}, [['keep', 'stay until they are removed'], ['remove', 'are removed once the move is done']]);
  openDialog({
    title: `Move ${topic.name}`,
    text: 'Events are copied while appends go on. Positions, versions and ids stay as they are. Where only options change, nothing is moved.',
    action: 'Move',
    fields: [...where.fields, field('The events where they are now', former)],
    async submit() {
      const answer = await call(path('topics', topic.name), { method: 'PUT', json: { ...where.values(), former: former.value } });
      const moving = !answer?.name;
      toast(moving ? 'The move has begun.' : 'Changed.');
      done(moving);
    },
  });
}

/**
 * @param {Topic} topic
 * @param {() => void} done
 */
export function deleteForm(topic, done) {
  openDialog({
    title: `Delete ${topic.name}?`,
    text: 'It is hidden and takes no more appends. Its events stay, and it can be restored.',
    action: 'Delete topic',
    danger: true,
    fields: [],
    async submit() {
      await call(path('topics', topic.name), { method: 'DELETE' });
      toast(`${topic.name} is deleted.`);
      done();
    },
  });
}

/**
 * @param {Topic} topic
 * @param {() => void} done
 */
export function purgeForm(topic, done) {
  const name = h('input', { ...EXACT });
  openDialog({
    title: `Purge ${topic.name}?`,
    text: 'Its events are erased for good. Nothing brings them back.',
    action: 'Erase all events',
    danger: true,
    fields: [field(`Type ${topic.name} to go on`, name)],
    async submit() {
      if (name.value !== topic.name) {
        name.focus();
        throw new Problem(0, { title: 'Another name', detail: `Type ${topic.name}, to the letter.` });
      }
      await call(path('topics', topic.name, 'purge'), { method: 'POST' });
      toast(`${topic.name} is erased.`);
      done();
    },
  });
  name.focus();
}

/**
 * @param {string} name
 * @returns {Promise<void>}
 */
export async function restore(name) {
  await call(path('topics', name, 'restore'), { method: 'POST' });
  toast(`${name} is restored.`);
}
