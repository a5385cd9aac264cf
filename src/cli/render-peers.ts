import type {PeerList, PeerRemoveDocument, PeerView} from '../control/peer-api.js';
import {formatBytes} from '../core/units.js';
import {renderTable} from './table.js';
import {formatSeconds, formatSince} from './times.js';

/** The members of the cluster, for people. */
export function renderPeers(list: PeerList, nowMs: number): string {
  const rows = list.members.map((member) => [
    member.name,
    member.link,
    member.address ?? (member.link === 'self' ? (list.listen ?? '-') : '-'),
    member.bandwidthLimit === null ? '-' : `${formatBytes(member.bandwidthLimit)}/s`,
    member.compression === 'none' ? '-' : member.compression,
    member.since === null ? '-' : formatSince(member.since, nowMs),
  ]);
  const lines = [`cluster ${list.cluster}, this node is ${list.node}`];
  if (list.removed) {
    lines.push('the others removed this node: mars peer join TOKEN takes it in again');
  }

  if (rows.length === 0) return [...lines, 'no members: mars peer invite, or join'].join('\n');
  lines.push(
    '',
    ...renderTable(['NODE', 'LINK', 'ADDRESS', 'LIMIT', 'COMPRESSION', 'SINCE'], rows),
  );
  for (const {name, link, error, clockOffsetSeconds, isClockSkewed} of list.members) {
    if (isClockSkewed === true && clockOffsetSeconds != null) {
      const side = clockOffsetSeconds > 0 ? 'ahead of' : 'behind';
      const time = formatSeconds(Math.abs(clockOffsetSeconds));
      lines.push(`${name}: its clock is ${time} ${side} the one here (CLOCK_SKEW)`);
    }

    // The last error of a link that is up is over.
    if (error !== null && link !== 'up') lines.push(`${name}: ${error.message} (${error.code})`);
  }

  return lines.join('\n');
}

/** What it means that a node is no member any more, or would be none. */
export function renderPeerRemoval(document: PeerRemoveDocument): string {
  const {name, dryRun, told = [], untold, replicas = []} = document;
  const [would, will] = dryRun ? ['would be', 'would '] : ['is', ''];
  const lines = [`${name} ${would} no member any more; its own files stay as they are`];
  if (told.length > 0) lines.push(`told of it ${dryRun ? 'at once' : 'now'}: ${told.join(', ')}`);
  if (untold.length > 0) {
    lines.push(`not reached, ${will}hear${dryRun ? '' : 's'} of it later: ${untold.join(', ')}`);
  }

  for (const {name: resource, role, state, others} of replicas) {
    const rest = others.length === 0 ? 'nobody else has it' : `left: ${others.join(', ')}`;
    const lost = dryRun ? 'would be cut off' : 'is cut off';
    lines.push(`${resource}: its replica there (${role}, ${state}) ${lost}; ${rest}`);
    if (role === 'primary') {
      lines.push(
        `  it is primary there: nobody ${dryRun ? 'would get' : 'gets'} what is written to it any more`,
      );
    }
  }

  return lines.join('\n');
}

/** One member after a change. */
export function renderPeer(view: PeerView): string {
  const limit =
    view.bandwidthLimit === null ? 'no bandwidth limit' : `${formatBytes(view.bandwidthLimit)}/s`;
  const packing =
    view.compression === 'none' ? 'no compression' : `compression ${view.compression}`;
  if (view.remoteControl !== undefined) return `${view.name}: remote-control ${view.remoteControl}`;
  return `${view.name}: address ${view.address ?? 'none'}, ${limit}, ${packing}`;
}
