/** Codes of peers, of the cluster and of join tokens; part of CODES. */
import type {CodeEntry} from './codes.js';

export const PEER_CODES = {
  PEER_PROTOCOL: {
    exit: 'refused',
    meaning: 'A peer sent something that the protocol does not allow; the stream was ended.',
    remedy:
      'Nothing of it was stored and the stream begins again by itself. If it comes back, compare ' +
      'the versions of mars on both nodes.',
  },
  PEER_SILENT: {
    exit: 'unreachable',
    meaning: 'Nothing came from the peer for 10 s although the connection was open.',
    remedy: 'Look at the network and at the peer. It is tried again by itself.',
  },
  PEER_UNREACHABLE: {
    exit: 'unreachable',
    meaning: 'The other node does not answer at its address, or the connection broke.',
    remedy:
      'Look at the network and whether its daemon runs. mars peer list shows its address; mars ' +
      'peer set NAME address=HOST:PORT changes it.',
  },
  PEER_REFUSED: {
    exit: 'refused',
    meaning: 'The other node refused the request.',
    remedy: 'The message has its words; look at the log of its daemon.',
  },
  CLOCK_SKEW: {
    exit: 'refused',
    meaning:
      'The clocks of two nodes differ by more than a few seconds. No decision depends on that: only the ' +
      'times of messages, events and logfiles cannot be compared between the nodes.',
    remedy:
      'Compare date on the nodes with a clock that is right, and set the one that is wrong; ' +
      'timedatectl or chronyc tracking says whether anything keeps it. The message goes by itself.',
  },
  REMOTE_REFUSED: {
    exit: 'refused',
    meaning:
      'With --host a node can be asked, and its flows paused, resumed, connected and disconnected; this ' +
      'is more than that, or more than the remote-control of that node allows.',
    remedy:
      'Say it on the node itself. There, mars peer set NODE remote-control=off|read|act says what the ' +
      'others may do.',
  },
  PEER_UNKNOWN: {
    exit: 'refused',
    meaning: 'The cluster has no member of this name, or the caller is no member.',
    remedy: 'mars peer list shows the members; mars peer join TOKEN makes this node one.',
  },
  PEER_REVOKED: {
    exit: 'refused',
    meaning: 'The node was removed from the cluster: its members do not talk to it any more.',
    remedy: 'To take it in again: mars peer invite on a member, mars peer join TOKEN on the node.',
  },
  PEER_FINGERPRINT: {
    exit: 'refused',
    meaning:
      'The certificate of the node at this address is not the one that the cluster knows: another ' +
      'node answers there, its keys were made anew, or somebody is between.',
    remedy:
      'Check the address in mars peer list. If the node was made anew, remove it with mars peer ' +
      'remove and let it join again.',
  },
  PEER_VERSION: {
    exit: 'refused',
    meaning: 'The two nodes have versions of mars that do not understand each other.',
    remedy: 'Install the newer version on both nodes.',
  },
  PEER_OTHER_CLUSTER: {
    exit: 'refused',
    meaning: 'The two nodes belong to different clusters, and clusters are not merged.',
    remedy:
      'Make a new node at another home with mars init --home DIR and let that one join, or remove ' +
      'this node from its cluster first: mars peer remove on a member.',
  },
  PEER_HAS_RESOURCES: {
    exit: 'refused',
    meaning: 'The node has resources that this would leave without their cluster.',
    remedy:
      'Delete or leave them first: mars resource delete NAME, mars resource leave NAME. For mars ' +
      'peer remove: --force removes the node nevertheless.',
  },
  PEER_NAME_TAKEN: {
    exit: 'refused',
    meaning: 'The cluster has another node of this name; names tell whose logfiles are whose.',
    remedy: 'Make the joining node with another name: mars init --name NAME.',
  },
  PEER_NOT_LISTENING: {
    exit: 'refused',
    meaning: 'This node has no address where peers can reach it.',
    remedy:
      'Set "listen": "ADDR:PORT" in node.json and start the daemon again; for a new node: mars ' +
      'init --listen ADDR:PORT. Over ssh none is needed: mars peer join ssh://HOST.',
  },
  PEER_LISTEN_FAILED: {
    exit: 'refused',
    meaning: 'The address in node.json cannot be listened on: peers do not reach this node.',
    remedy:
      'The message has the reason, such as a port in use. Correct "listen" in node.json; it is ' +
      'tried again by itself.',
  },
  PEER_SSH_FAILED: {
    exit: 'unreachable',
    meaning: 'ssh did not reach mars on the other node.',
    remedy:
      'Try it by hand: ssh HOST mars daemon status. It must work as root without a password, and ' +
      'mars must be in the PATH there.',
  },
  TOKEN_DAMAGED: {
    exit: 'usage',
    meaning: 'The join token is not one, or was cut or changed on its way.',
    remedy: 'Copy it again, whole and in one line: mars peer invite prints a new one.',
  },
  TOKEN_VERSION: {
    exit: 'refused',
    meaning: 'The join token was made by another version of mars, which this one cannot read.',
    remedy: 'Install the same version of mars on both nodes.',
  },
  TOKEN_EXPIRED: {
    exit: 'refused',
    meaning: 'The join token was not used in time.',
    remedy: 'Make a new one on the member: mars peer invite [--valid SECONDS].',
  },
  TOKEN_USED: {
    exit: 'refused',
    meaning: 'Another node has joined with this token; each token is for one node.',
    remedy: 'Make a new one on the member: mars peer invite.',
  },
  TOKEN_UNKNOWN: {
    exit: 'refused',
    meaning: 'The node that was asked knows nothing of this token.',
    remedy: 'Make a new one on the member: mars peer invite.',
  },
} as const satisfies Readonly<Record<string, CodeEntry>>;
