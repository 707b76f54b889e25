// @ts-check
// An event as the server wrote it: what is known of it is read, its payload and metadata stay the text
// they are until somebody looks at them.

import { members } from './exact-json.js';
import { size } from './format.js';

/**
 * @typedef {object} Body a payload, or metadata
 * @property {'json' | 'bytes'} kind
 * @property {string} text JSON as it was sent, or bytes in base64
 * @property {number} size in bytes
 */
/**
 * @typedef {import('./api.js').RecordedEvent & {data: Body | null, metadata: Body | null, line: string}} Event
 */

/**
 * Reads an event's line.
 * @param {string} line
 * @returns {Event}
 */
export function readEvent(line) {
  const found = members(line);
  /** @param {string} name */
  const value = (name) => JSON.parse(found.get(name) ?? 'null');
  return {
    topic: value('topic'),
    position: value('position'),
    stream: value('stream') ?? '',
    version: value('version'),
    id: value('id'),
    type: value('type') ?? '',
    recordedAt: value('recordedAt'),
    tags: value('tags') ?? [],
    contentType: value('contentType') ?? '',
    data: body(found, 'data'),
    metadata: body(found, 'metadata'),
    line,
  };
}

/**
 * @param {Map<string, string>} found
 * @param {string} name
 * @returns {Body | null}
 */
function body(found, name) {
  const json = found.get(name);
  if (json !== undefined) return { kind: 'json', text: json, size: bytesOf(json) };
  const quoted = found.get(`${name}Base64`);
  if (quoted === undefined) return null;
  const text = quoted.slice(1, -1);
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  return { kind: 'bytes', text, size: (text.length / 4) * 3 - padding };
}

/** @param {string} text */
function bytesOf(text) {
  let bytes = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    // Half of a pair of surrogates is half of four bytes.
    if (unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff)) bytes += 2;
    else if (unit > 0x7f) bytes += 1;
  }
  return bytes;
}

/**
 * The beginning of a payload, in one line.
 * @param {Body | null} body
 */
export function peek(body) {
  if (!body) return '';
  return body.kind === 'json' ? body.text.slice(0, 160) : `binary, ${size(body.size)}`;
}

/**
 * The bytes of base64.
 * @param {string} text
 * @returns {Uint8Array}
 */
export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
