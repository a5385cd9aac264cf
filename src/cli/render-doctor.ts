/** The checks of `mars doctor`: what is missing first, and of that the kernel first. */
import type {MachineCheck} from '../core/machine.js';
import type {Paint} from './paint.js';
import {wrapText} from './wrap-text.js';

const RANKS = {critical: 0, warning: 1, info: 2} as const;

/** Whether disks can be served here: nothing critical is missing. */
export function isFit(checks: readonly MachineCheck[]): boolean {
  return checks.every((check) => check.ok || check.level !== 'critical');
}

/** Failed checks before passed ones; an old kernel before all, as it decides what a crash means. */
export function sortChecks(checks: readonly MachineCheck[]): MachineCheck[] {
  return [...checks].sort((a, b) => rankOf(a) - rankOf(b));
}

function rankOf({ok, level, code}: MachineCheck): number {
  if (ok) return 10;
  return code === 'KERNEL_OLD' ? -1 : RANKS[level];
}

/** The verdict, then a paragraph for each check. */
export function renderChecks(checks: readonly MachineCheck[], paint: Paint): string {
  const failed = checks.filter((check) => !check.ok);
  const critical = failed.filter((check) => check.level === 'critical').length;
  const verdict =
    critical > 0
      ? paint('red', `this machine cannot serve disks: ${critical} critical`)
      : `${paint('green', 'this machine can serve disks')}${
          failed.length === 0 ? '' : `, but ${failed.length} to look at`
        }`;
  return [verdict, '', ...checks.flatMap((check) => renderCheck(check, paint))].join('\n');
}

function renderCheck(check: MachineCheck, paint: Paint): string[] {
  const name = check.name.padEnd(13);
  const hanging = ' '.repeat(24);
  if (check.ok) {
    const [first = '', ...rest] = wrapText(`${'ok'.padEnd(9)} ${name} ${check.found}`, {hanging});
    return [first.replace('ok', paint('green', 'ok')), ...rest];
  }

  const colour = {critical: 'red', warning: 'yellow', info: 'dim'} as const;
  const [first = '', ...rest] = wrapText(`${check.level.padEnd(9)} ${name} ${check.found}`, {
    hanging,
  });
  return [
    first.replace(check.level, paint(colour[check.level], check.level)),
    ...rest,
    ...wrapText(`${hanging}do: ${check.remedy} (${check.code})`, {hanging: `${hanging}    `}),
  ];
}
