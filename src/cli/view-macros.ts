/**
 * `mars view-NAME` for names that users choose: a file `NAME.tpl` in `HOME/macros`, `~/.mars/macros` or
 * `/etc/mars/macros`, the first that is there. Its text is printed with these replaced, as in MARS:
 *
 *   %{VALUE} or %VALUE{}         a value of view-value; %{res} the resource, %{host} this node
 *   %if{A}{B}{C}                 B where A is true, else C; C may be left out. True is all but 0, -, and nothing
 *   %not{A} %and{A}{B} %or{A}{B} 1 or 0
 *   %%, \n, \ at a line's end    a per cent sign, a new line, nothing
 */
import fs from 'node:fs';
import os from 'node:os';
import {join} from 'node:path';
import {DiskError, errnoOf, storeError} from '../core/errors.js';

const MACRO_BYTES_MAX = 64 * 1024;
const DEPTH_MAX = 32;
const NAME = /^[a-zA-Z0-9][\w-]*$/u;

/** Directories in which macros are looked for, the first one first. */
export function macroDirectories(home: string): string[] {
  return [join(home, 'macros'), join(os.homedir(), '.mars', 'macros'), '/etc/mars/macros'];
}

/**
 * The text of a macro.
 *
 * @returns undefined where there is none of the name
 * @throws DiskError USAGE for one that is too long; STORE_*
 */
export function readMacro(directories: readonly string[], name: string): string | undefined {
  if (!NAME.test(name)) return undefined;
  for (const directory of directories) {
    const path = join(directory, `${name}.tpl`);
    try {
      const text = fs.readFileSync(path, 'utf8');
      if (Buffer.byteLength(text) <= MACRO_BYTES_MAX) return text;
      throw new DiskError('USAGE', `${path} is longer than ${MACRO_BYTES_MAX} bytes`);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw storeError(error, `read ${path}`);
    }
  }

  return undefined;
}

/** Names of all macros that are there. */
export function macroNames(directories: readonly string[]): string[] {
  const names = directories.flatMap((directory) =>
    fs.existsSync(directory) ? fs.readdirSync(directory) : [],
  );
  return [
    ...new Set(names.filter((name) => name.endsWith('.tpl')).map((name) => name.slice(0, -4))),
  ];
}

/**
 * Expands a macro.
 *
 * @param valueOf undefined for a name that is none
 * @throws DiskError USAGE with the line of what is not known or not closed
 */
export function expandMacro(text: string, valueOf: (name: string) => string | undefined): string {
  return new Expansion(text, valueOf).run();
}

class Expansion {
  readonly #text: string;
  readonly #valueOf: (name: string) => string | undefined;

  constructor(text: string, valueOf: (name: string) => string | undefined) {
    this.#text = text;
    this.#valueOf = valueOf;
  }

  run(): string {
    return this.#expand(0, this.#text.length, 0);
  }

  #expand(start: number, end: number, depth: number): string {
    if (depth > DEPTH_MAX) throw this.#fault(start, `is nested deeper than ${DEPTH_MAX}`);
    let out = '';
    let at = start;
    while (at < end) {
      const char = this.#text[at] ?? '';
      const next = this.#text[at + 1] ?? '';
      if (char === '\\' && at + 1 < end) {
        out += next === 'n' ? '\n' : next === '\n' ? '' : next;
        at += 2;
      } else if (char === '%' && next === '%') {
        out += '%';
        at += 2;
      } else if (char === '%') {
        const [value, behind] = this.#call(at, end, depth);
        out += value;
        at = behind;
      } else {
        out += char;
        at += 1;
      }
    }

    return out;
  }

  /** What begins with a per cent sign. @returns its value, and where it ends */
  #call(at: number, end: number, depth: number): [string, number] {
    const name = /^[\w-]*/u.exec(this.#text.slice(at + 1, end))?.[0] ?? '';
    const bodies: [number, number][] = [];
    let behind = at + 1 + name.length;
    while (this.#text[behind] === '{' && behind < end) {
      const close = this.#closing(behind, end);
      bodies.push([behind + 1, close]);
      behind = close + 1;
    }

    if (bodies.length === 0) throw this.#fault(at, 'has no { behind it; a per cent sign is %%');
    const body = (index: number): string => {
      const [from, to] = bodies[index] ?? [0, 0];
      return this.#expand(from, to, depth + 1);
    };

    return [this.#apply(at, name, bodies.length, body), behind];
  }

  #apply(at: number, name: string, count: number, body: (index: number) => string): string {
    const bit = (value: boolean): string => (value ? '1' : '0');
    switch (name) {
      case 'if':
        return isTrue(body(0)) ? body(1) : body(2);
      case 'not':
        return bit(!isTrue(body(0)));
      case 'and':
        return bit(Array.from({length: count}, (_, index) => body(index)).every(isTrue));
      case 'or':
        return bit(Array.from({length: count}, (_, index) => body(index)).some(isTrue));
      default: {
        const wanted = name === '' ? body(0) : name;
        const value = this.#valueOf(wanted);
        if (value !== undefined) return value;
        throw this.#fault(at, `names '${wanted}', which is no value: mars view-value --help`);
      }
    }
  }

  #closing(open: number, end: number): number {
    let depth = 0;
    for (let at = open; at < end; at += 1) {
      const char = this.#text[at];
      if (char === '\\') at += 1;
      else if (char === '{') depth += 1;
      else if (char === '}') {
        depth -= 1;
        if (depth === 0) return at;
      }
    }

    throw this.#fault(open, 'is not closed');
  }

  #fault(at: number, words: string): DiskError {
    const line = this.#text.slice(0, at).split('\n').length;
    const found = this.#text.slice(at, at + 20).split('\n')[0] ?? '';
    return new DiskError('USAGE', `line ${line} of the macro: '${found}' ${words}`, {line});
  }
}

function isTrue(value: string): boolean {
  return !['', '0', '-'].includes(value.trim());
}
