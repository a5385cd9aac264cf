/** Codes of replicas: fetch, sync, and what replicas find out about each other; part of CODES. */
import type {CodeEntry} from './codes.js';

export const REPLICA_CODES = {
  SPLIT_BRAIN: {
    exit: 'refused',
    meaning:
      'Two nodes were primary from different points: from there on their histories differ (split ' +
      'brain). Both are kept, and neither follows the other.',
    remedy:
      'Nothing is lost yet and nothing is in a hurry: where applications run, they go on. mars fork ' +
      'show NAME says what each side has. Decide whose writes count; on the other node: mars ' +
      'fork resolve NAME --keep NODE --dry-run, and then --yes.',
  },
  FORK_UNKNOWN: {
    exit: 'refused',
    meaning: 'There is no kept branch of this name, or more than one and none was named.',
    remedy:
      'mars fork show NAME lists the branches that are kept on this node; name one: --branch ID.',
  },
  FORK_INCOMPLETE: {
    exit: 'refused',
    meaning:
      'Of a branch that gave way only the logfiles are kept, or a part of them: the disk as of its ' +
      'end cannot be made from that.',
    remedy:
      'The logfiles themselves can be read: mars log show FILE --records. mars fork show NAME says ' +
      'where they are, and why there is no image.',
  },
  REPLICA_NEEDED: {
    exit: 'refused',
    meaning: 'What would be replaced here is the only copy that is known of some records.',
    remedy: 'Wait until another node has caught up: mars wait NAME synced on it. Then once more.',
  },
  RESOURCE_REPLACED: {
    exit: 'refused',
    meaning:
      'The resource of this replica was deleted on another node while this one was away, or another resource has its name ' +
      'there since. They have nothing in common, whatever the name: this replica follows nobody, and is kept as it is.',
    remedy:
      'Is anything on it still wanted? mars primary NAME --force serves it here. Else: mars resource join NAME --replace ' +
      '--dry-run, and then --yes, has the new one in its place; mars resource delete NAME --yes where there is none.',
  },
  HISTORY_UNKNOWN: {
    exit: 'refused',
    meaning: 'Two replicas have no epoch in common: they cannot tell how they belong together.',
    remedy:
      'Is it the right resource, or an old home restored? If the content of this replica is not ' +
      'needed: mars invalidate NAME --yes copies it again.',
  },
  SOURCE_BEHIND: {
    exit: 'refused',
    meaning: 'The other replica has less than this one: there is nothing to fetch from it.',
    remedy: 'Nothing, where it is itself catching up. Else make the newest replica primary.',
  },
  ORIGIN_LOST_DATA: {
    exit: 'damage',
    meaning:
      'The primary came back from a power loss with less than this replica has in its image: its ' +
      'disk had said that the data was safe. The replica is compared and mended by itself.',
    remedy:
      'Check the disk of the primary and its write cache: it acknowledged a sync that it did not do.',
  },
  SOURCE_MOVES: {
    exit: 'refused',
    meaning:
      'An image can only be taken for that of another node at a position, and the other node has log that is not in ' +
      'its image yet.',
    remedy:
      'Stop what writes there, and wait until mars replay status NAME on that node says 0 B to replay. Then the same ' +
      'again. Without that the image is compared by digests, and only what differs is moved.',
  },
  SYNC_MISMATCH: {
    exit: 'damage',
    meaning:
      'The log that was to complete a copied image is not the history that the image was copied ' +
      'from: the source lost data, or was replaced, while the copy ran.',
    remedy: 'Nothing: the image is compared and copied again by itself.',
  },
  LINK_DOWN: {
    exit: 'unreachable',
    meaning:
      'A node with a replica was not heard of for 10 s or longer. The disk goes on here; there is ' +
      'one current copy less.',
    remedy:
      'Look at the network and at the daemon there: mars peer list. It catches up by itself; the ' +
      'log is kept for it, within log-cap.',
  },
  REPLICA_DROPPED: {
    exit: 'refused',
    meaning:
      'A replica lagged so far that the log for it was more than log-cap or older than log-age, or ' +
      'took half of the free space; it is not kept any longer.',
    remedy:
      'When the replica is back, its image is compared and copied by itself. A larger log-cap or ' +
      'log-age, or more space, bridges longer times.',
  },
  REPLICA_UNREADABLE: {
    exit: 'damage',
    meaning:
      'A node has a replica of this resource and cannot read its resource.json or slots.json: it ' +
      'follows nobody, and is no copy now. The log that it needs is kept, within log-cap.',
    remedy:
      'On that node mars status names the file and the fault. Restore or correct it, and start the ' +
      'daemon there again.',
  },
  REPLICAS_REMAIN: {
    exit: 'refused',
    meaning: 'The primary cannot leave while other nodes have replicas that follow it.',
    remedy: 'Make another node primary first: mars primary NAME there; then leave here.',
  },
  MODE_DEGRADED: {
    exit: 'refused',
    meaning:
      'The mode is near-sync or sync, but too few replicas confirmed within degrade-after: flushes ' +
      'are answered when they are durable on this node alone. What was flushed since then may be ' +
      'lost if this node is lost.',
    remedy:
      'mars status NAME says which replicas count. When enough of them have caught up the mode is ' +
      'in force again by itself (MODE_RESTORED). mars resource set NAME degrade-after=never waits instead.',
  },
  FLUSHES_WAIT: {
    exit: 'refused',
    meaning:
      'The mode is near-sync or sync, and flushes wait for replicas to confirm them. Nothing is ' +
      'lost; the kernel holds back writes, and all that comes to a loop device, until they end.',
    remedy:
      'Bring the replica that is missing back: mars status NAME, mars peer list. To go on without ' +
      'it: mars resource set NAME mode=async, or a number of seconds for degrade-after.',
  },
  FOLDER_FOREIGN: {
    exit: 'refused',
    meaning: 'A folder has logfiles, or an image, of another resource than the one here.',
    remedy:
      'The message has the ids of both: bring the files of the right resource there, each resource ' +
      'in a folder of its own. What is foreign is passed over, never applied.',
  },
  FOLDER_DAMAGED: {
    exit: 'damage',
    meaning:
      'A file in a folder that a replica follows has no valid content where it should go on: it is ' +
      'damaged, or was not copied to its end yet.',
    remedy:
      'Nothing of it was applied. Bring the file again from where it was exported (rsync --checksum ' +
      'finds what differs); the replica goes on by itself.',
  },
  FOLDER_EMPTY: {
    exit: 'refused',
    meaning:
      'A folder has nothing that a replica could take: no image, no logfile, or no export.json.',
    remedy:
      'On a node with the resource: mars log export NAME DIR --base; then bring all files of DIR ' +
      'here. mars status NAME says what is waited for.',
  },
  FOLDER_GAP: {
    exit: 'refused',
    meaning: 'Logfiles that were to be applied once do not go on from what the replica has.',
    remedy:
      'The message says which position is missing: bring that logfile too. If it is not kept ' +
      'anywhere any more, export to a new folder with --base.',
  },
  VERIFY_DIFFERENT: {
    exit: 'damage',
    meaning:
      'Two replicas hold different data where they should hold the same: both were compared at one ' +
      'position of one history. Storage of one of them, or somebody who wrote to an image past mars, is ' +
      'the cause; which one is wrong the comparison cannot tell.',
    remedy:
      'Look at the disks of both nodes (dmesg, smartctl). The primary counts as right: mars verify NAME ' +
      '--repair --dry-run shows what of it would be copied to the replica, --repair --yes does it. Where ' +
      'the primary is the wrong one: make the replica primary (mars primary NAME there), then ' +
      'mars verify NAME --repair --yes.',
  },
  VERIFY_RUNNING: {
    exit: 'refused',
    meaning: 'The replica is being compared already, or mended after that.',
    remedy: 'mars resource show NAME says how far it is. To end it: mars verify NAME --stop.',
  },
  VERIFY_REFUSED: {
    exit: 'refused',
    meaning:
      'The replica cannot be compared, or not be mended, as it is now: it is being copied, its role ' +
      'changes, or there is no primary to copy from.',
    remedy: 'mars status NAME shows how it is. Try again when that is over.',
  },
  VERIFY_BEHIND: {
    exit: 'timeout',
    meaning:
      'Replicas are compared at one position, and one of them did not get to the position of the other ' +
      'in time, or has too much log that is not in its image yet.',
    remedy:
      'Is fetch or replay paused, or is the link too slow? mars status NAME; mars up NAME turns all ' +
      'switches on. Then try again.',
  },
  VERIFY_STOPPED: {
    exit: 'refused',
    meaning: 'A comparison was ended before its end: by the user, or as a daemon stopped.',
    remedy: 'Nothing was changed. mars verify NAME begins a new one.',
  },
  NO_SOURCE: {
    exit: 'refused',
    meaning: 'No node of the cluster is known to have a replica of this resource.',
    remedy: 'mars status shows what the cluster has; the other node may be away: mars peer list.',
  },
} as const satisfies Readonly<Record<string, CodeEntry>>;
