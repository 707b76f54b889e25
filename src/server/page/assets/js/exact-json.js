// @ts-check
// A reader of JSON that loses nothing: numbers keep their digits, members their order and their
// doubles. The browser's own would show 9007199254740993 as another number.

/**
 * @typedef {object} Node
 * @property {'object' | 'array' | 'string' | 'number' | 'word'} kind
 * @property {number} start where it begins in the text
 * @property {number} end
 * @property {string} [text] of a string, a number or a word
 * @property {[string, Node][]} [members] of an object
 * @property {Node[]} [items] of an array
 */

const BLANK = /[ \t\r\n]*/y;
const PLAIN = /[^"\\]*/y;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

/** What reads through a text. */
class Reader {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  /** @param {RegExp} pattern */
  take(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) throw new SyntaxError(`no JSON at ${this.at}`);
    this.at = pattern.lastIndex;
    return found[0];
  }

  /** @returns {string} the next character that is not blank */
  peek() {
    this.take(BLANK);
    return this.text[this.at] ?? '';
  }

  /** @param {string} character */
  expect(character) {
    if (this.peek() !== character) throw new SyntaxError(`no ${character} at ${this.at}`);
    this.at += 1;
  }

  /** Passes a string, and answers it with its quotes. */
  string() {
    const start = this.at;
    this.expect('"');
    for (;;) {
      this.take(PLAIN);
      const next = this.text[this.at];
      if (next === undefined) throw new SyntaxError('a string without end');
      this.at += next === '\\' ? 2 : 1;
      if (next === '"') return this.text.slice(start, this.at);
    }
  }

  /** @returns {Node} */
  value() {
    const next = this.peek();
    const start = this.at;
    if (next === '{') return this.object(start);
    if (next === '[') return this.array(start);
    if (next === '"') return { kind: 'string', start, text: JSON.parse(this.string()), end: this.at };
    const kind = /[-\d]/.test(next) ? 'number' : 'word';
    return { kind, start, text: this.take(kind === 'number' ? NUMBER : WORD), end: this.at };
  }

  /**
   * @param {number} start
   * @returns {Node}
   */
  object(start) {
    /** @type {[string, Node][]} */
    const members = [];
    this.expect('{');
    while (this.peek() !== '}') {
      if (members.length) this.expect(',');
      this.peek();
      const name = JSON.parse(this.string());
      this.expect(':');
      members.push([name, this.value()]);
    }
    this.at += 1;
    return { kind: 'object', start, members, end: this.at };
  }

  /**
   * @param {number} start
   * @returns {Node}
   */
  array(start) {
    /** @type {Node[]} */
    const items = [];
    this.expect('[');
    while (this.peek() !== ']') {
      if (items.length) this.expect(',');
      items.push(this.value());
    }
    this.at += 1;
    return { kind: 'array', start, items, end: this.at };
  }

  /** Passes a value without making anything of it. */
  skip() {
    let depth = 0;
    do {
      const next = this.peek();
      if (next === '"') this.string();
      else if (next === '{' || next === '[') (depth += 1), (this.at += 1);
      else if (next === '}' || next === ']') (depth -= 1), (this.at += 1);
      else if (next === ',' || next === ':') this.at += 1;
      else this.take(/[-\d]/.test(next) ? NUMBER : WORD);
    } while (depth > 0);
  }
}

/**
 * Reads one JSON text.
 * @param {string} text
 * @returns {Node}
 */
export function parse(text) {
  const reader = new Reader(text);
  const node = reader.value();
  if (reader.peek() !== '') throw new SyntaxError(`more than one JSON text, at ${reader.at}`);
  return node;
}

/**
 * The members of an object as the text they are, unread.
 * @param {string} text
 * @returns {Map<string, string>}
 */
export function members(text) {
  const reader = new Reader(text);
  const found = new Map();
  reader.expect('{');
  while (reader.peek() !== '}') {
    if (found.size) reader.expect(',');
    reader.peek();
    const name = JSON.parse(reader.string());
    reader.expect(':');
    reader.peek();
    const start = reader.at;
    reader.skip();
    found.set(name, text.slice(start, reader.at));
  }
  return found;
}
