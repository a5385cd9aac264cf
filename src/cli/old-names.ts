/**
 * Words of MARS that have no command or option here, and what to type instead. docs/MARSADM.md says why;
 * what has a counterpart is an alias of it, and works.
 */
const COMMANDS: Readonly<Record<string, string>> = {
  'merge-cluster':
    'a node moves to another cluster with mars peer leave, then mars peer join TOKEN, and its replicas are joined there anew',
  'split-cluster':
    'a node leaves with mars peer leave, or mars peer remove NODE; mars init made a cluster of its own',
  'set-link': 'the state is in files that commands change: mars resource set NAME KEY=VALUE',
  'get-link': 'mars status --json and mars resource show NAME --json have all values',
  'delete-file': 'mars log prune NAME removes what nobody needs; mars cron does it for all',
  'link-purge-all': 'nothing has to be purged: mars cron removes what is left over',
  'lowlevel-ls-host-ips': 'mars peer list shows the addresses',
  'lowlevel-delete-host': 'mars peer remove NODE --force',
  migrate: 'mars resource move NAME --to NODE',
  expand: 'mars resource resize NAME SIZE',
  shrink:
    'a disk does not shrink: make a smaller one with mars resource create, copy the files, delete the old one',
  'create-uuid': 'mars init makes the id of the cluster',
};

const OPTIONS: Readonly<Record<string, string>> = {
  '--window': 'a node that is not heard of for 15 s counts as down',
  '--verbose': 'mars events --follow says what happens, mars status NAME how it is',
  '--error-injection-phase': 'the daemon takes it: mars daemon run --error-injection-phase list',
  '--ignore-sync': 'a copy that is not complete is no disk: mars sync status NAME',
  '--macro': 'a macro is a file: HOME/macros/NAME.tpl, printed by mars view-NAME',
};

/** What to do instead of an old command; undefined: the word is none. */
export function whatReplaces(word: string): string | undefined {
  if (!Object.hasOwn(COMMANDS, word)) return undefined;
  return `${word} of MARS has another form here: ${COMMANDS[word] ?? ''}`;
}

/** The same for an option, as typed: `--window=30` as well. */
export function whatReplacesOption(word: string): string | undefined {
  const [option = ''] = word.split('=');
  if (!Object.hasOwn(OPTIONS, option)) return undefined;
  return `${option} of MARS has no counterpart: ${OPTIONS[option] ?? ''}`;
}

/** All old commands that are answered so. */
export const REPLACED_COMMANDS: readonly string[] = Object.keys(COMMANDS);
