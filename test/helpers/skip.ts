/**
 * Says that the running test cannot run here. The runner counts these lines: a test that did
 * nothing never counts as passed. Use: `test('...', (context) => skip(context, 'no loop device'))`.
 *
 * @param context what uvu hands to every test
 */
export function skip(context: object, reason: string): void {
  const title = '__test__' in context ? String(context.__test__) : 'a test';
  process.stdout.write(`\nSKIP ${title}: ${reason}\n`);
}
