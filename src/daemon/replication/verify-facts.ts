/** What is told to other nodes of the last comparison of a replica, heard of theirs, and kept here. */
import * as v from 'valibot';
import type {ResourceFacts} from '../../cluster/facts.js';
import {
  summaryOf,
  VERIFY_STATES,
  type VerifyReport,
  type VerifySummary,
} from '../../control/verify-api.js';

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
    state: v.picklist(VERIFY_STATES),
    startedAt: text,
    verifiedAt: v.nullable(text),
    position: v.nullable(text),
    doneBytes: count,
    totalBytes: count,
    differentBytes: count,
  }),
});

const words = v.pipe(v.string(), v.maxLength(4096));

/** A VerifyReport, of another node or of verify.json. */
export const VERIFY_REPORT = v.looseObject({
  id: words,
  node: words,
  with: words,
  state: v.picklist(VERIFY_STATES),
  startedAt: words,
  endedAt: v.nullable(words),
  verifiedAt: v.nullable(words),
  fromPosition: v.nullable(words),
  position: v.nullable(words),
  doneBytes: count,
  totalBytes: count,
  differentBytes: count,
  rangeCount: count,
  ranges: v.pipe(v.array(v.looseObject({offset: count, length: count})), v.maxLength(1024)),
  repairedBytes: v.nullable(count),
  error: v.nullable(
    v.looseObject({code: words, message: words, details: v.record(words, v.any())}),
  ),
});

/** null: never compared, not told, or by a later version in other words. */
export function verifyOf(facts: ResourceFacts): VerifySummary | null {
  const said = v.safeParse(VERIFY, facts);
  return said.success ? said.output.verify : null;
}
