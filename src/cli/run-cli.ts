/** What both entry programs share: words that oclif itself refuses, and a reader that goes away. */
import {flush, handle, run, type Config} from '@oclif/core';
import {CommandFailure, failureDocument, renderFailure} from './failure.js';
import {nearMatches} from './near-matches.js';
import {whatReplaces} from './old-names.js';
import {DiskError} from '../core/errors.js';

/** Runs one command line to its end, and sets the exit status. */
export async function runCli(typed: readonly string[], config: Config): Promise<void> {
  const asked = translateGlobal(moveGlobalFlags(translateHelp(typed)));
  const words = translateView(asked, config.commandIDs);
  // `mars events | head` ends when head does.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  try {
    await run(words, config);
    await flush();
  } catch (error) {
    await handle(refineError(error as Error, words, config));
  }
}

/** `mars help status` and `mars version` are what people type as well. */
function translateHelp(words: readonly string[]): readonly string[] {
  if (words[0] === 'help') return [...words.slice(1), '--help'];
  return words[0] === 'version' && words.length === 1 ? ['--version'] : words;
}

/** `mars pause-fetch-global web01` is the switch on every node with a replica. */
export function translateGlobal(words: readonly string[]): readonly string[] {
  const isGlobal =
    /^(?:(?:dis)?connect|(?:pause|resume)-(?:fetch|sync|replay))-global$/u.test(words[0] ?? '') &&
    !words.includes('--everywhere');
  return isGlobal ? [...words.slice(0, 1), '--everywhere', ...words.slice(1)] : words;
}

/** `mars view-is-primary web01` is `mars view-value is-primary web01`: there are many of them. */
export function translateView(words: readonly string[], known: readonly string[]): string[] {
  const [first = '', ...rest] = words;
  const value = /^view-(.+)$/u.exec(first)?.[1];
  return value === undefined || known.includes(first) ? [...words] : ['view-value', value, ...rest];
}

/** `mars --home DIR status` is what people type; oclif wants the command's words first. */
export function moveGlobalFlags(words: readonly string[]): string[] {
  const moved: string[] = [];
  let index = 0;
  for (;;) {
    const word = words[index] ?? '';
    const count = word === '--home' ? 2 : word === '--json' || word.startsWith('--home=') ? 1 : 0;
    if (count === 0 || index + count >= words.length) break;
    moved.push(...words.slice(index, index + count));
    index += count;
  }

  const rest = words.slice(index);
  const end = rest.includes('--') ? rest.indexOf('--') : rest.length;
  return [...rest.slice(0, end), ...moved, ...rest.slice(end)];
}

/** oclif says "command x not found"; the rule says: what was found, the next command, a code. */
function refineError(error: Error, words: readonly string[], config: Config): Error {
  const match = /^command (\S+) not found$/u.exec(error.message);
  if (match === null) return error;
  const typed = (match[1] ?? '').replaceAll(':', ' ');
  const known = config.commandIDs.map((id) => id.replaceAll(':', ' '));
  // A stray word after a command that takes none: the longest command in it is what was meant.
  const command = known
    .filter((id) => typed.startsWith(`${id} `))
    .sort((a, b) => b.length - a.length)[0];
  const near = nearMatches(typed, known);
  const replaced = whatReplaces(words[0] ?? '');
  const message =
    replaced ??
    (command === undefined
      ? `there is no command 'mars ${typed}': ${
          near.length > 0 ? `did you mean ${near.join(', ')}?` : 'mars --help lists them'
        }`
      : `mars ${command} takes no argument, got '${typed.slice(command.length + 1)}'`);
  const failure = new DiskError('USAGE', message);
  if (words.includes('--json'))
    process.stdout.write(`${asJson(failureDocument(failure, command ?? ''))}\n`);
  else process.stderr.write(`${renderFailure(failure, command ?? '')}\n`);
  return new CommandFailure(failure);
}

function asJson(document: unknown): string {
  return JSON.stringify(document, null, 2);
}
