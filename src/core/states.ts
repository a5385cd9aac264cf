/**
 * Every state, role and other word that `mars status` shows, for `mars explain`. The names are
 * those that MARS admins know; a test holds this table against control/api and core/disk-status.
 */
export interface StateEntry {
  readonly kind: 'state' | 'role' | 'health' | 'replay' | 'phase' | 'mode' | 'link' | 'flow';
  readonly meaning: string;
  /** What to do; "Nothing" where nothing is needed. */
  readonly action: string;
}

const STATES = {
  UpToDate: {
    kind: 'state',
    meaning: 'Image and log together hold everything that was acknowledged; the image is current.',
    action: 'Nothing.',
  },
  'OutDated[F]': {
    kind: 'state',
    meaning: 'The image is of one moment, but an old one: log of the primary is still to come.',
    action: 'Wait; where the lag grows, look at the link: mars peer list, mars fetch status NAME.',
  },
  'OutDated[R]': {
    kind: 'state',
    meaning: 'All log of the primary is here; a part is still to be replayed into the image.',
    action: 'Wait, or mars replay resume NAME if replay is paused.',
  },
  'OutDated[FR]': {
    kind: 'state',
    meaning:
      'The image is of one moment, but an old one: log is still to come, and to be replayed.',
    action: 'Wait; where the lag grows: mars fetch status NAME and mars replay status NAME.',
  },
  InConsistent: {
    kind: 'state',
    meaning: 'The image is a mixture of moments: it must not be used until it is repaired.',
    action:
      'Wait for the end of the copy: mars wait NAME synced; it cannot become primary ' +
      'before. Where a message says why, such as IMAGE_CHANGED, do what it says.',
  },
  Syncing: {
    kind: 'state',
    meaning: 'The image is being copied from another replica.',
    action:
      'Wait for its end: mars wait NAME synced shows how far it is. Do not lose the other replica ' +
      'meanwhile: this one cannot become primary yet.',
  },
  Recovery: {
    kind: 'state',
    meaning: 'After a crash the log is read, and what it proves is taken over.',
    action: 'Wait: the resource answers when it is done.',
  },
  WriteBack: {
    kind: 'state',
    meaning: 'The log holds newer blocks than the image; replay is writing them back.',
    action: 'Nothing: reads are right at every moment. It ends when replay has caught up.',
  },
  Orphan: {
    kind: 'state',
    meaning:
      'The log that this replica needs next is on no node any more, or its resource is another one there (RESOURCE_REPLACED).',
    action:
      'Nothing, where mars status shows a progress: a new image is made beside this one, which mars ' +
      'primary NAME --force still takes. Else mars invalidate NAME --yes copies the image again.',
  },
  EmergencyMode: {
    kind: 'state',
    meaning:
      'The space for the log ran out: writes wait, or go past it to the image (when-full=bypass).',
    action: 'Free space on the file system of the log; the mode is left by itself.',
  },
  DefectiveLog: {
    kind: 'state',
    meaning: 'The log cannot be read or written, or a record below the durable position is bad.',
    action: 'mars log verify NAME shows where. Mend the device below, or fetch a good copy.',
  },
  DefectiveImage: {
    kind: 'state',
    meaning: 'The image cannot be read or written. The log keeps what replay could not write.',
    action: 'Mend the device or file system below the image; replay then writes it again.',
  },
  Detached: {
    kind: 'state',
    meaning: 'By wish of the user image and log are not touched.',
    action: 'mars attach NAME.',
  },
  NotJoined: {
    kind: 'state',
    meaning: 'This node has no replica of the resource.',
    action: 'mars resource join NAME, or nothing if none is wanted here.',
  },
  Forked: {
    kind: 'state',
    meaning: 'Two nodes were primary from different points: both sides are kept (split brain).',
    action:
      'mars fork show NAME, then decide; on the side that gives way: mars fork resolve NAME --keep NODE --yes.',
  },
  primary: {
    kind: 'role',
    meaning: 'The disk is exposed here: its image and, if wanted, its device can be used.',
    action: 'Nothing.',
  },
  secondary: {
    kind: 'role',
    meaning: 'The disk is not exposed here; its image is kept up.',
    action: 'mars primary NAME to use it here.',
  },
  remainsPrimary: {
    kind: 'role',
    meaning: 'It should be secondary, but is still primary: the device or image is in use.',
    action: 'Unmount it or stop the program that mars secondary NAME names.',
  },
  forcedPrimary: {
    kind: 'role',
    meaning: 'It was made primary with --force, without the consent of the other side.',
    action:
      'Keep the other side from being primary. When it is back: mars status NAME shows whether ' +
      'both have writes of their own (Forked), else it follows by itself.',
  },
  notYetPrimary: {
    kind: 'role',
    meaning: 'It should be primary, but the disk is not there yet.',
    action: 'Wait; if it lasts, mars status NAME says what it waits for.',
  },
  none: {
    kind: 'role',
    meaning: 'The resource has no role on this node: it is detached, or not here.',
    action: 'mars attach NAME, or nothing.',
  },
  ok: {kind: 'health', meaning: 'All is well.', action: 'Nothing.'},
  warning: {
    kind: 'health',
    meaning: 'It works, but something should be looked at before it gets worse.',
    action: 'mars status NAME says what and what to type.',
  },
  critical: {
    kind: 'health',
    meaning: 'It does not work, or the next fault would lose data.',
    action: 'mars status NAME says what and what to type.',
  },
  unknown: {
    kind: 'health',
    meaning: 'It cannot be told how the resource is: somebody who knows does not answer.',
    action: 'mars daemon status shows what runs; run/disks/NAME.log has the last words.',
  },
  starting: {kind: 'phase', meaning: 'The disk process is starting.', action: 'Wait.'},
  recovering: {
    kind: 'phase',
    meaning: 'The disk process reads the log and makes durable what it takes over.',
    action: 'Wait: requests of applications are answered afterwards.',
  },
  serving: {kind: 'phase', meaning: 'The disk answers reads and writes.', action: 'Nothing.'},
  replaying: {
    kind: 'phase',
    meaning: 'The disk is not exposed; the rest of the log is written to the image.',
    action: 'Wait; the process ends by itself.',
  },
  stopping: {kind: 'phase', meaning: 'The disk process is ending in order.', action: 'Wait.'},
  running: {
    kind: 'replay',
    meaning: 'Replay is writing log to the image; a fetch or sync: it is at work.',
    action: 'Nothing.',
  },
  idle: {
    kind: 'replay',
    meaning: 'All that is durable is in the image; a fetch or sync: it has nothing to do.',
    action: 'Nothing.',
  },
  paused: {
    kind: 'replay',
    meaning: 'Replay, fetch or sync was paused by the user: the log grows, or the copy gets older.',
    action: 'mars replay resume NAME, mars fetch resume NAME or mars sync resume NAME.',
  },
  failed: {
    kind: 'replay',
    meaning: 'Replay could not write the image. The log keeps everything.',
    action: 'mars status NAME says why.',
  },
  stopped: {
    kind: 'replay',
    meaning: 'No disk process runs, or nothing comes from another node: the replica stands still.',
    action: 'mars status NAME says why; mars up NAME turns all switches on.',
  },
  waiting: {
    kind: 'flow',
    meaning: 'It should fetch or copy, but somebody or something is waited for.',
    action: 'mars fetch status NAME or mars sync status NAME says for whom.',
  },
  continuous: {
    kind: 'flow',
    meaning: 'The replica gets the log as it is written.',
    action: 'Nothing.',
  },
  here: {kind: 'link', meaning: 'It is this node itself.', action: 'Nothing.'},
  up: {kind: 'link', meaning: 'The other node was heard of just now.', action: 'Nothing.'},
  down: {
    kind: 'link',
    meaning: 'The other node was not heard of for 10 s: what is shown of it is old.',
    action: 'Look at the network and at the daemon of that node: mars peer list.',
  },
  empty: {
    kind: 'phase',
    meaning: 'A replica that was joined, and has nothing of the image yet.',
    action: 'Wait for the copy: mars sync status NAME says what it waits for.',
  },
  prepared: {
    kind: 'phase',
    meaning:
      'A rollback that has written nothing yet: the disk is closed, and about to be found unused. It is `running` from then on.',
    action: 'Nothing.',
  },
  copying: {
    kind: 'phase',
    meaning:
      'A copy that is made beside the old image: content comes. The old image stays as it is, and ' +
      'can still be made primary.',
    action: 'Nothing; mars sync status NAME says how far it is.',
  },
  switching: {
    kind: 'phase',
    meaning:
      'A copy that was made beside the old image is complete, and is put in the place of the old one.',
    action: 'Nothing.',
  },
  following: {
    kind: 'phase',
    meaning: 'The disk process of a secondary takes the log of the primary and replays it.',
    action: 'Nothing.',
  },
  serve: {kind: 'mode', meaning: 'The disk process serves a FUSE mount.', action: 'Nothing.'},
  replay: {
    kind: 'mode',
    meaning: 'The disk process only writes the log back and ends when that is done.',
    action: 'Nothing.',
  },
  follow: {
    kind: 'mode',
    meaning: 'The disk process keeps a replica: it takes the log of another node and replays it.',
    action: 'Nothing.',
  },
  async: {
    kind: 'mode',
    meaning: 'Writes wait for this node only; replicas follow.',
    action: 'Nothing.',
  },
  'near-sync': {
    kind: 'mode',
    meaning: 'A flush also waits until replicas have the data in memory.',
    action: 'Nothing.',
  },
  sync: {
    kind: 'mode',
    meaning: 'A flush also waits until replicas have the data on disk.',
    action: 'Nothing.',
  },
} as const satisfies Readonly<Record<string, StateEntry>>;

export type StateName = keyof typeof STATES;

/** All words, in the order of the table. */
export const STATE_NAMES = Object.keys(STATES) as StateName[];

/** @returns undefined where `name` is no word of the table */
export function findState(name: string): StateEntry | undefined {
  return Object.hasOwn(STATES, name) ? STATES[name as StateName] : undefined;
}
