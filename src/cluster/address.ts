/** Addresses of peers, as people type them: `HOST:PORT`, `[IPV6]:PORT`, `ssh://[USER@]HOST[:PORT]`. */

export type Address =
  | {readonly kind: 'tls'; readonly host: string; readonly port: number}
  | {readonly kind: 'ssh'; readonly target: string; readonly port: number | undefined};

const ADDRESS_CHARS_MAX = 300;
// A host that begins with '-' would be an option of ssh.
const TLS = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([\w.][\w.-]*)):(\d{1,5})$/u;
const SSH = /^ssh:\/\/((?:[\w.][\w.-]*@)?(?:[\w.][\w.-]*|\[[0-9a-fA-F:.]+\]))(?::(\d{1,5}))?\/?$/u;

/** @returns undefined where the text is no address */
export function parseAddress(text: string): Address | undefined {
  if (text.length > ADDRESS_CHARS_MAX) return undefined;
  const ssh = SSH.exec(text);
  if (ssh !== null) {
    const port = ssh[2] === undefined ? undefined : Number(ssh[2]);
    if (port !== undefined && !isPort(port)) return undefined;
    return {kind: 'ssh', target: (ssh[1] ?? '').replaceAll(/[[\]]/gu, ''), port};
  }

  const tls = TLS.exec(text);
  const port = Number(tls?.[3] ?? NaN);
  if (tls === null || !isPort(port)) return undefined;
  return {kind: 'tls', host: tls[1] ?? tls[2] ?? '', port};
}

/** `host:port`, with the brackets that an IPv6 address needs. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `listen` of node.json: an empty host and `*` are every address. */
export function parseListen(
  text: string,
): {readonly host: string | undefined; readonly port: number} | undefined {
  const match = /^(.*):(\d{1,5})$/u.exec(text);
  const port = Number(match?.[2] ?? NaN);
  if (match === null || !isPort(port)) return undefined;
  if (match[1] === '' || match[1] === '*') return {host: undefined, port};
  const address = parseAddress(text);
  return address?.kind === 'tls' ? {host: address.host, port} : undefined;
}

/** Whether a host stands for every address of the machine: nobody can be told to call it. */
export function isWildcard(host: string | undefined): boolean {
  return host === undefined || host === '0.0.0.0' || /^[0:]*$/u.test(host);
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
