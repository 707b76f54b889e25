// @ts-check
// A form that appends one event.

import { Problem, call, path } from './api.js';
import { EXACT, field, openDialog, select } from './dialog.js';
import { h, toast } from './dom.js';
import { parse } from './exact-json.js';
import { number } from './format.js';
import { to } from './router.js';

/**
 * @param {string} topic
 * @param {string} stream the one to begin with
 * @param {() => void} done
 */
export function appendForm(topic, stream, done) {
  // The same for every try, so that trying again after a lost answer records the event once.
  const id = uuid();
  const type = h('input', { ...EXACT, required: true, maxlength: '256', placeholder: 'OrderPlaced' });
  const into = h('input', { ...EXACT, value: stream, placeholder: 'order-42' });
  const tags = h('input', { ...EXACT, placeholder: 'customer:7, region:eu' });
  const form = select({}, [['json', 'JSON'], ['text', 'Text'], ['base64', 'Bytes, in base64']]);
  const payload = h('textarea', { ...EXACT, rows: '8' }, '{\n  \n}');
  const metadata = h('textarea', { ...EXACT, rows: '2', placeholder: '{"user": "…"}' });
  const expected = select({}, [['any', 'whatever is there'], ['noStream', 'the stream does not exist'], ['streamExists', 'the stream exists'], ['exact', 'the stream is at version …']]);
  const version = h('input', { type: 'number', min: '0', step: '1', inputmode: 'numeric' });
  const versionField = field('Version', version);
  versionField.hidden = true;
  expected.addEventListener('change', () => { versionField.hidden = expected.value !== 'exact'; });
  openDialog({
    title: `Append to ${topic}`,
    action: 'Append',
    fields: [
      h('div', { class: 'row' }, field('Type', type), field('Stream', into, 'Empty for the default stream')),
      field('Tags', tags, 'Separated by commas'),
      h('div', { class: 'row' }, field('Payload is', form)),
      field('Payload', payload),
      field('Metadata', metadata, 'JSON; may be empty'),
      h('div', { class: 'row' }, field('Append where', expected), versionField),
    ],
    async submit() {
      if (!type.value) {
        type.setAttribute('aria-invalid', 'true');
        type.focus();
        throw new Problem(0, { title: 'A type is needed', detail: 'Every event has a type, such as OrderPlaced.' });
      }
      type.removeAttribute('aria-invalid');
      const named = !['', '.', '..'].includes(into.value);
      // Browsers take dots out of a path: such a stream is named by its event.
      const event = newEvent({ id, type: type.value, stream: named ? '' : into.value, tags: tags.value, form: form.value, payload: payload.value, metadata: metadata.value });
      const wanted = expected.value === 'exact' ? Number(version.value || 0) : expected.value;
      const text = `{"events":[${event}],"expectedVersion":${JSON.stringify(wanted)}}`;
      const where = named ? path('topics', topic, 'streams', into.value, 'events') : path('topics', topic, 'events');
      const receipt = await call(where, { method: 'POST', text });
      toast('Recorded at position ', h('a', { href: to(['topics', topic, 'events', receipt.first]) }, number(receipt.first)), '.');
      done();
    },
  });
  type.focus();
}

/**
 * The event as JSON. Payload and metadata stay as they were typed, to the digit.
 * @param {{id: string, type: string, stream: string, tags: string, form: string, payload: string, metadata: string}} fields
 */
function newEvent({ id, type, stream, tags, form, payload, metadata }) {
  const parts = [`"id":${JSON.stringify(id)}`, `"type":${JSON.stringify(type)}`];
  if (stream) parts.push(`"stream":${JSON.stringify(stream)}`);
  const list = tags.split(',').map((tag) => tag.trim()).filter(Boolean);
  if (list.length) parts.push(`"tags":${JSON.stringify(list)}`);
  if (form === 'json') {
    if (payload.trim()) parts.push(`"data":${json('The payload', payload)}`);
  } else {
    parts.push(`"contentType":${JSON.stringify(form === 'text' ? 'text/plain; charset=utf-8' : 'application/octet-stream')}`);
    parts.push(`"dataBase64":${JSON.stringify(form === 'text' ? toBase64(payload) : payload.replace(/\s/g, ''))}`);
  }
  if (metadata.trim()) parts.push(`"metadata":${json('The metadata', metadata)}`);
  return `{${parts.join(',')}}`;
}

/**
 * @param {string} what
 * @param {string} text
 */
function json(what, text) {
  try {
    parse(text);
    JSON.parse(text);
  } catch (error) {
    throw new Problem(0, { title: 'Not JSON', detail: `${what} is not JSON: ${error instanceof Error ? error.message : error}` });
  }
  return compact(text);
}

/**
 * The text without the blanks between its tokens.
 * @param {string} text
 */
function compact(text) {
  return text.replace(/("(?:[^"\\]|\\.)*")|[ \t\r\n]+/g, (_, quoted) => quoted ?? '');
}

/** @param {string} text */
function toBase64(text) {
  let binary = '';
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** A random UUID, also where the browser has none ready because the connection is not safe. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
