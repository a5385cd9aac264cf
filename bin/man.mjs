// `npm run man`: writes man/mars.1 and man/mars-VERB.1 from oclif.manifest.json, and their list in package.json: npm
// links for `man` what is listed there, and does not look at "directories". Part of `npm run manifest`.
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const DIRECTORY = path.join(ROOT, 'man');

const EXIT_STATUS = [
  ['0', 'done, or it was so already'],
  ['1', 'a bug of mars'],
  ['2', 'usage'],
  ['3', 'refused by a safety rule'],
  ['4', 'not reachable'],
  ['5', 'not in time'],
  ['6', 'an I/O error, or damage'],
];

/** Text as troff has it: no escapes, no line that begins like a request. */
function text(words) {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gmu, '\\&');
}

function header(title, version) {
  return `.TH "${title.toUpperCase()}" "1" "" "mars ${version}" "mars"`;
}

function nameOf(id) {
  return id.replaceAll(':', ' ');
}

function pageOf(id) {
  return `mars-${id.replaceAll(':', '-')}`;
}

function argumentsOf(command) {
  return Object.values(command.args ?? {}).map(({name, required, multiple}) => {
    const word = `${name.toUpperCase()}${multiple === true ? '...' : ''}`;
    return {word: required === true ? word : `[${word}]`};
  });
}

function isVariadic({strict}) {
  return strict === false;
}

function flagWords({name, char, type, helpValue, options, allowNo}) {
  const value = type === 'boolean' ? '' : ` ${helpValue ?? options?.join('|') ?? 'VALUE'}`;
  const long = allowNo === true ? `--[no-]${name}` : `--${name}`;
  return `${char === undefined ? '' : `-${char}, `}${long}${value}`;
}

function flagText({description = '', default: value, env}) {
  const more = [
    ...(value === undefined || value === false || value === ''
      ? []
      : [`default: ${String(value)}`]),
    ...(env === undefined ? [] : [`environment: ${env}`]),
  ];
  return more.length === 0 ? description : `${description} (${more.join('; ')})`;
}

function flagLines(command) {
  return Object.values(command.flags ?? {})
    .filter(({hidden}) => hidden !== true)
    .flatMap((flag) => ['.TP', `.B ${text(flagWords(flag))}`, text(flagText(flag))]);
}

function exampleOf(example, id) {
  const words = typeof example === 'string' ? example : example.command;
  return words.replaceAll('<%= config.bin %>', 'mars').replaceAll('<%= command.id %>', nameOf(id));
}

function commandPage(id, command, version) {
  const words = [
    ...argumentsOf(command).map(({word}) => word),
    ...(isVariadic(command) && Object.keys(command.args ?? {}).length < 2 ? ['[...]'] : []),
    '[OPTIONS]',
  ];
  const args = Object.values(command.args ?? {}).flatMap((arg) => [
    '.TP',
    `.B ${text(arg.name.toUpperCase())}`,
    text(arg.description ?? ''),
  ]);
  const aliases = command.aliases ?? [];
  const examples = (command.examples ?? []).flatMap((one) => [
    '.PP',
    '.nf',
    `    ${text(exampleOf(one, id))}`,
    '.fi',
  ]);
  return [
    header(pageOf(id), version),
    '.SH NAME',
    `${text(pageOf(id))} \\- ${text(command.summary ?? '')}`,
    '.SH SYNOPSIS',
    `.B mars ${text(nameOf(id))}`,
    text(words.join(' ')),
    ...(command.description === undefined ? [] : ['.SH DESCRIPTION', text(command.description)]),
    ...(args.length === 0 ? [] : ['.SH ARGUMENTS', ...args]),
    '.SH OPTIONS',
    ...flagLines(command),
    ...(aliases.length === 0
      ? []
      : ['.SH OTHER NAMES', text(aliases.map((alias) => `mars ${nameOf(alias)}`).join(', '))]),
    ...(examples.length === 0 ? [] : ['.SH EXAMPLES', ...examples]),
    '.SH SEE ALSO',
    '.BR mars (1)',
    '',
  ].join('\n');
}

function mainPage(commands, version) {
  const list = commands.flatMap(([id, {summary = ''}]) => [
    '.TP',
    `.B mars ${text(nameOf(id))}`,
    text(summary),
  ]);
  return [
    header('mars', version),
    '.SH NAME',
    'mars \\- a replicated virtual disk in user space',
    '.SH SYNOPSIS',
    '.B mars',
    'COMMAND [ARGUMENTS] [OPTIONS]',
    '.SH DESCRIPTION',
    text(
      'Each resource is an image that appears as a file and as a block device on the node where it is ' +
        'primary. Every write goes to a transaction log first, which other nodes fetch and replay.',
    ),
    '.PP',
    text(
      'mars COMMAND --help, and a page of each command, such as mars-resource-create(1), say more; mars explain WORD says what a code or state means and what to do.',
    ),
    '.SH COMMANDS',
    ...list,
    '.SH EXIT STATUS',
    ...EXIT_STATUS.flatMap(([status, meaning]) => ['.TP', `.B ${status}`, text(meaning)]),
    '.SH ENVIRONMENT',
    '.TP',
    '.B MARS_HOME',
    text('home of the node, where --home is not given; /var/lib/mars by default'),
    '.SH SEE ALSO',
    ...commands.map(
      ([id], index) => `.BR ${text(pageOf(id))} (1)${index + 1 < commands.length ? ',' : ''}`,
    ),
    '',
  ].join('\n');
}

/** `man` of package.json. */
export function listOf(pages) {
  return [...pages.keys()].sort().map((name) => `man/${name}`);
}

/** Names and texts of all pages. */
export function manPages({commands, version}) {
  const shown = Object.entries(commands)
    .filter(([, {hidden}]) => hidden !== true)
    .sort(([left], [right]) => (left < right ? -1 : 1));
  const pages = shown.map(([id, command]) => [
    `${pageOf(id)}.1`,
    commandPage(id, command, version),
  ]);
  return new Map([['mars.1', mainPage(shown, version)], ...pages]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const manifest = JSON.parse(fs.readFileSync(path.join(ROOT, 'oclif.manifest.json'), 'utf8'));
  fs.rmSync(DIRECTORY, {recursive: true, force: true});
  fs.mkdirSync(DIRECTORY);
  const pages = manPages(manifest);
  for (const [name, page] of pages) fs.writeFileSync(path.join(DIRECTORY, name), page);
  const file = path.join(ROOT, 'package.json');
  const text = fs.readFileSync(file, 'utf8');
  const changed = {...JSON.parse(text), man: listOf(pages)};
  fs.writeFileSync(file, `${JSON.stringify(changed, null, 2)}\n`);
}
