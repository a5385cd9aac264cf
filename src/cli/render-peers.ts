import type {PeerList, PeerView} from '../control/peer-api.js';
import {formatBytes} from '../core/units.js';
import {renderTable} from './table.js';
import {formatSince} from './times.js';

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
  for (const {name, error} of list.members) {
    if (error !== null) lines.push(`${name}: ${error.message} (${error.code})`);
  }

  return lines.join('\n');
}

/** One member after a change. */
export function renderPeer(view: PeerView): string {
  const limit =
    view.bandwidthLimit === null ? 'no bandwidth limit' : `${formatBytes(view.bandwidthLimit)}/s`;
  const packing =
    view.compression === 'none' ? 'no compression' : `compression ${view.compression}`;
  return `${view.name}: address ${view.address ?? 'none'}, ${limit}, ${packing}`;
}
