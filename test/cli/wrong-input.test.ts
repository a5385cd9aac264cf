/** What is refused before anything happens: each with exit status 2, one code, one document. */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';
import {loadConfig, runCommand} from '../helpers/run-command.js';

const test = suite<{node: FakeNode}>('wrong input');

test.before(async (context) => {
  context.node = await startFakeNode();
});

test.after(async ({node}) => {
  await node.dispose();
});

const BAD_NAMES = ['../x', 'a/b', '', '.hidden', '-x', 'a b', 'x'.repeat(64), 'none', 'ä', 'a\nb'];

for (const words of [
  'primary',
  'detach',
  'log rotate',
  'replay pause',
  'status',
  'resource show',
]) {
  test(`${words} refuses names that are none`, async ({node}) => {
    for (const name of BAD_NAMES) {
      const {document, exit} = await node
        .json(words, '--', name)
        .catch(() => failed(node, words, name));
      const {code} = document['error'] as {code: string};
      assert.is(exit, 2, name);
      assert.is(code, 'NAME_INVALID', name);
    }

    assert.equal(node.daemon.lines, []);
  });
}

/** Behind `--`, oclif takes --json for an argument: put it in front. */
async function failed(
  node: FakeNode,
  words: string,
  name: string,
): Promise<{document: Record<string, unknown>; exit: number}> {
  const argv = ['--home', node.home, '--json', '--', name];
  const {stdout, exit} = await runCommand(words, ...argv);
  return {document: JSON.parse(stdout) as Record<string, unknown>, exit};
}

for (const words of ['resource create', 'resource resize', 'resource delete']) {
  test(`${words} does not take all for a name`, async ({node}) => {
    const rest = words === 'resource create' ? ['--size', '1G'] : [];
    const argv = words === 'resource resize' ? ['all', '2G'] : ['all', ...rest];
    const {document, exit} = await node.json(words, ...argv);
    assert.is(exit, 2);
    assert.match(JSON.stringify(document), /NAME_INVALID.*reserved/u);
    assert.equal(node.daemon.lines, []);
  });
}

test('sizes that are none, too small, too large or uneven are refused', async ({node}) => {
  const sizes = [
    '0',
    '-1',
    'x',
    '',
    '10Q',
    '512K',
    '16T',
    '1e9',
    '1048577',
    '1.5',
    'NaN',
    '10 G G',
  ];
  for (const size of sizes) {
    const created = await node.run('resource create', 'web', `--size=${size}`);
    assert.is(created.exit, 2, size);
    assert.is(created.code, 'SIZE_INVALID', size);
    if (size.startsWith('-')) continue;
    const resized = await node.run('resource resize', 'web', size);
    assert.is(resized.code, 'SIZE_INVALID', size);
  }

  assert.equal(node.daemon.lines, []);
});

test('settings want key=value, each once', async ({node}) => {
  for (const words of [['durability'], ['=x'], ['a=1', 'a=2'], []]) {
    const {exit, code} = await node.run('resource set', 'web', ...words);
    assert.is(exit, 2);
    assert.is(code, 'USAGE');
  }

  assert.equal(node.daemon.lines, []);
});

test('every command refuses an unknown flag', async ({node}) => {
  const config = await loadConfig();
  assert.ok(config.commandIDs.length > 20);
  for (const id of config.commandIDs) {
    const {exit, code, stderr} = await runCommand(id, '--home', node.home, '--no-such-flag');
    assert.is(exit, 2, id);
    assert.is(code, 'USAGE', id);
    assert.match(stderr, /no-such-flag[\s\S]*code: USAGE/u, id);
  }

  assert.equal(node.daemon.lines, []);
});

test('every command refuses a stray argument', async ({node}) => {
  const config = await loadConfig();
  for (const id of config.commandIDs) {
    const command = config.findCommand(id, {must: true});
    const args = Object.values(command.args);
    if (args.some((arg) => arg.multiple === true)) continue;
    const words = args.map((arg) => (arg.name === 'size' ? '1G' : 'web'));
    const flags = id === 'resource:create' ? ['--size', '1G'] : [];
    const {exit, code} = await runCommand(id, ...words, 'stray', ...flags, '--home', node.home);
    assert.is(exit, 2, id);
    assert.is(code, 'USAGE', id);
  }

  assert.equal(node.daemon.lines, []);
});

test('a refusal names the help of its command', async ({node}) => {
  const {document} = await node.json('resource create', 'web');
  const error = document['error'] as Record<string, string>;
  assert.match(error['message'] ?? '', /size/u);
  assert.match(error['remedy'] ?? '', /mars resource create --help/u);
  assert.is(document['schema'], 1);
});

test('timeouts are whole seconds from 1 to a day', async ({node}) => {
  for (const seconds of ['0', '-3', '1.5', 'x', '86401']) {
    const {exit, stderr} = await node.run('secondary', 'web', `--timeout=${seconds}`);
    assert.is(exit, 2, seconds);
    assert.match(stderr, /--timeout/u);
  }
});

test('a home of no characters is not the working directory', async () => {
  const {exit, stderr} = await runCommand('status', '--home', '');
  assert.is(exit, 2);
  assert.match(stderr, /expected a directory/u);
});

test.run();
