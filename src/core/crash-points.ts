/**
 * Crash points: numbered places in the code between two steps that must each be durable before the
 * next. A process that is armed kills itself with SIGKILL when it passes one of them; tests do
 * the same without a death, by keeping what the disk holds at that moment.
 *
 *   MARS_ERROR_INJECTION_PHASE=NAME[@SUBJECT][:N]     or the number of the point in place of NAME
 *
 * SUBJECT is the last part of the path of the file concerned, where the point has one. N counts passes from 1, in each thread by itself. The variable reaches
 * daemon and disk processes. Of a disk process only the first generation is armed: else its
 * holder would start one after the other that dies at the same place.
 *
 * Not armed, a pass costs one comparison. Every point of the table is passed in the tests
 * (test/daemon/crash/areas.ts): one that nobody passes any more fails there.
 */
import {basename} from 'node:path';
import {assert} from './assert.js';

/** Environment variable that arms a process. */
export const CRASH_VARIABLE = 'MARS_ERROR_INJECTION_PHASE';

/** All crash points in order; the number of one is its place in this table, from 1. */
export const CRASH_POINTS = {
  'file-written': 'a state file: the new one is whole beside the old one',
  'file-renamed': 'a state file: the new one has the name, the directory is not synced',
  'two-slot-written': 'a two-slot file: the older slot is written, not synced',
  'two-slot-synced': 'a two-slot file: the newest slot is durable, nobody knows of it yet',
  'replay-state-made': 'the replay state of another image is whole beside the old one',
  'replay-state-renamed': 'the replay state of another image has the name',
  'sync-state-removed': 'sync.json is removed, the directory is not synced',
  'segment-ready-written': 'the header of a ready segment is durable, its name is that of a spare',
  'segment-ready-renamed': 'a ready segment has its name, the directory is not synced',
  'spares-set-aside': 'recovery has renamed and removed segments, the directory is not synced',
  'epoch-in-lineage': 'the new epoch is in the lineage, no segment of it has begun',
  'epoch-begun': 'the first segment of the epoch is durable, nobody is answered yet',
  'batch-noted': 'replay has noted the batch, nothing of it is in the image',
  'batch-written': 'replay has written the batch and synced the image, its end is not noted',
  'follow-epoch-in-lineage': 'a replica has the epoch of its origin in the lineage, no segment',
  'follow-segment-begun': 'a replica has the header of a segment of its origin, durable',
  'cut-lineage': 'a replica that cuts: the lineage is cut, the log is not',
  'cut-segments': 'a replica that cuts: segments behind are gone, the last one is not zeroed',
  'cut-done': 'a replica that cuts: all is cut',
  'log-forgotten': 'a copy begins: the log of the image before is gone',
  'copy-begun': 'a copy is noted with its begin, the log before is still there',
  'copy-progress': 'chunks of a copy are in the image, durable, and not noted',
  'copy-image-done': 'all chunks are durable, the replay state is that of the image before',
  'copy-replay-state': 'the replay state is that of the copy, which is not noted as done',
  'resize-image': 'the image has the new size, durably, the log has not',
  'resize-logged': 'a RESIZE is in the log, nobody waited until it is durable',
  'resize-done': 'image and log have the new size, resource.json has the old one',
  'create-staged': 'a resource is made whole under a hidden name',
  'create-renamed': 'a resource has its name, the directory is not synced',
  'delete-renamed': 'a resource that is deleted has a hidden name',
  'delete-run-files': 'a resource that is deleted: only its data are left, under a hidden name',
  'slots-written': 'slots were set, moved or let go durably, the disk process does not know of it',
  'handover-deactivated': 'handover: the old primary serves nobody, and has granted nothing',
  'handover-end-known': 'handover: the end of the log is durable and known, nothing is granted',
  'handover-forced-cleared': 'handover: forcedAt is gone, nothing is granted',
  'handover-granted': 'handover: the grant is durable, the wish is still primary',
  'handover-wish-saved': 'handover: grant and wish are durable, no answer went out',
  'take-granted': 'promotion: the grant has come, nothing of it is noted here',
  'take-log-here': 'promotion: the log is here up to the grant, its follower runs',
  'take-follower-ended': 'promotion: the follower has ended, the wish is secondary',
  'take-wish-saved': 'promotion: the wish is primary, no epoch has begun',
  'force-follower-ended': 'promotion by force: the follower has ended, the wish is secondary',
  'force-wish-saved': 'promotion by force: wish and forcedAt are durable, no epoch has begun',
  'return-wish-corrected': 'a returning primary has corrected its wish, and told nobody',
  'secondary-deactivated': 'mars secondary: nobody is served, the wish is primary',
  'fork-kept': 'fork resolve: the branch is kept, log and image are as before',
  'fork-lineage': 'fork resolve: the lineage is cut, the log is not',
  'fork-segments': 'fork resolve: segments behind the fork are gone, the last one is not zeroed',
  'fork-cut': 'fork resolve: lineage and log are cut',
  'branch-staged': 'a branch is whole under a hidden name',
  'branch-renamed': 'a branch has its name, the directory is not synced',
  'branch-dying': 'a branch that is dropped has a hidden name',
  'tail-staged': 'a lost tail is whole under a hidden name',
  'tail-renamed': 'a lost tail has its name, the directory is not synced',
  'copy-again': 'an image is to be copied again: its follower has ended, nothing is noted',
  'copy-again-noted': 'an image is to be copied again, and nobody was told',
  'switch-image':
    'a repair beside is put in place: the image has its content, the log is the old one',
  'switch-log':
    'a repair beside is put in place: image and log are the new ones, the lineage is not',
  'switch-lineage': 'a repair beside is put in place: all is the new one, next.json still says so',
  'log-cut-staged': 'log cut: what is taken out is whole under a hidden name',
  'log-cut-kept': 'log cut: what is taken out is kept, the log is as damaged as before',
  'log-cut-begin': 'log cut: the file begins where it is good, what is behind is as before',
  'log-cut-lineage': 'log cut: the lineage is cut, the log is not',
  'log-cut-segments': 'log cut: segments behind are gone, the last one is not zeroed',
  'log-cut-done': 'log cut: all is cut, and nobody was told',
  'log-cut-undo-replay': 'log cut undo: the replay state is as before, the log is cut',
  'log-cut-undo-file': 'log cut undo: one of the logfiles is as before',
  'undo-marked': 'fork undo: what was here counts as garbage, nothing is removed',
  'undo-log-removed': 'fork undo: the logfiles are removed, none of the branch is there',
  'undo-log-copied': 'fork undo: the logfiles of the branch are there, the lineage is not its',
  'undo-image-staged': 'fork undo: the image of the branch is whole beside the old one',
  'undo-image': 'fork undo: the image is that of the branch, the replay state is not',
  'undo-replay-state': 'fork undo: all is that of the branch, and still counts as garbage',
} as const satisfies Readonly<Record<string, string>>;

export type CrashPoint = keyof typeof CRASH_POINTS;

/** @param subject last part of the path of the file concerned; empty where the point has none */
export type CrashHandler = (point: CrashPoint, subject: string) => void;

/** Where a process is to die. */
export interface CrashPlan {
  readonly point: CrashPoint;
  /** Undefined: whatever file it is. */
  readonly subject: string | undefined;
  /** Which pass, from 1. */
  readonly pass: number;
}

const NAMES = Object.keys(CRASH_POINTS) as CrashPoint[];
const PLAN = /^(?<name>[a-z\d-]+)(?:@(?<subject>[^:]+))?(?::(?<pass>[1-9]\d*))?$/u;

/** @returns undefined where the text names no crash point, or is no plan */
export function parseCrashPlan(text: string): CrashPlan | undefined {
  const {name = '', subject, pass = '1'} = PLAN.exec(text)?.groups ?? {};
  const point = /^\d+$/u.test(name)
    ? NAMES[Number(name) - 1]
    : NAMES.find((known) => known === name);
  return point === undefined ? undefined : {point, subject, pass: Number(pass)};
}

/** A handler that calls `die` at the pass that the plan names. */
export function crashBy({point, subject, pass}: CrashPlan, die: () => void): CrashHandler {
  let passes = 0;
  return (passed, of) => {
    if (passed !== point || (subject !== undefined && subject !== of)) return;
    passes += 1;
    if (passes === pass) die();
  };
}

let handler = handlerOf(process.env);

/** Takes what the environment says now; for who has changed it since this module was loaded. */
export function armByEnvironment(): void {
  handler = handlerOf(process.env);
}

function handlerOf(environment: NodeJS.ProcessEnv): CrashHandler | undefined {
  const text = environment[CRASH_VARIABLE] ?? '';
  const generation = environment['MARS_GENERATION'] ?? '1';
  if (text === '' || generation !== '1') return undefined;
  const plan = parseCrashPlan(text);
  assert(plan !== undefined, `${CRASH_VARIABLE} names a crash point`);
  return crashBy(plan, () => {
    process.kill(process.pid, 'SIGKILL');
  });
}

/**
 * The process may die here: what is durable before must be enough to go on.
 *
 * @param path of the file concerned; of a state file it can be armed by name
 */
export function passCrashPoint(point: CrashPoint, path = ''): void {
  if (handler !== undefined) handler(point, basename(path));
}

/** For tests: what happens at each pass, in place of what the environment says; undefined: nothing. */
export function setCrashHandler(next: CrashHandler | undefined): void {
  handler = next;
}
