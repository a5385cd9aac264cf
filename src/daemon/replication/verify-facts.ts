/** What is told to other nodes of the last comparison of a replica, and heard of theirs. */
import * as v from 'valibot';
import type {ResourceFacts} from '../../cluster/facts.js';
import {summaryOf, type VerifyReport, type VerifySummary} from '../../control/verify-api.js';

const PARTS = 100;

/** In steps of a percent: each change is sent to all members. */
export function verifyFacts(report: VerifyReport): VerifySummary {
  const summary = summaryOf(report);
  const {doneBytes, totalBytes} = summary;
  const part = totalBytes === 0 ? 0 : Math.floor((doneBytes * PARTS) / totalBytes);
  return {...summary, doneBytes: Math.floor((part * totalBytes) / PARTS)};
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const text = v.pipe(v.string(), v.maxLength(200));
const VERIFY = v.object({
  verify: v.object({
    with: text,
    state: v.picklist([
      ...(['running', 'repairing', 'checking', 'equal', 'different', 'stopped', 'failed'] as const),
    ]),
    startedAt: text,
    verifiedAt: v.nullable(text),
    position: v.nullable(text),
    doneBytes: count,
    totalBytes: count,
    differentBytes: count,
  }),
});

/** null: never compared, not told, or by a later version in other words. */
export function verifyOf(facts: ResourceFacts): VerifySummary | null {
  const said = v.safeParse(VERIFY, facts);
  return said.success ? said.output.verify : null;
}
