/** The network between the two nodes, as a proxy each way: it can be slow, and it can be cut. */
import {Proxy} from '../test/helpers/proxy.js';
import {until} from '../test/helpers/run.js';
import type {DemoNode} from './node.js';
import {command} from './screen.js';

const KNOWN_MS_MAX = 15_000;

export class Link {
  readonly #nodes: readonly [DemoNode, DemoNode];
  /** To the first node, and to the second. */
  readonly #proxies: readonly [Proxy, Proxy];

  private constructor(nodes: readonly [DemoNode, DemoNode], proxies: readonly [Proxy, Proxy]) {
    this.#nodes = nodes;
    this.#proxies = proxies;
  }

  /** Listens at once; the nodes take it only from `between` on. */
  static async create(one: DemoNode, other: DemoNode): Promise<Link> {
    const proxies = [
      await Proxy.create(await one.port()),
      await Proxy.create(await other.port()),
    ] as const;
    return new Link([one, other], proxies);
  }

  /** Tells both members the other's address on this link. */
  async between(): Promise<void> {
    const [one, other] = this.#nodes;
    const [toOne, toOther] = this.#proxies;
    await setAddress(one, other, toOther);
    await setAddress(other, one, toOne);
  }

  /** 0: no limit. */
  setRate(bytesPerSecond: number): void {
    for (const proxy of this.#proxies) proxy.bytesPerSecond = bytesPerSecond;
  }

  cut(): void {
    command('# the cable between alpha and beta is pulled');
    for (const proxy of this.#proxies) proxy.set('cut');
  }

  heal(): void {
    command('# the cable is plugged in again');
    for (const proxy of this.#proxies) proxy.set('open');
  }
}

async function setAddress(on: DemoNode, of: DemoNode, {address}: Proxy): Promise<void> {
  await until(
    () => on.succeeds('peer', 'set', of.name, `address=${address}`),
    KNOWN_MS_MAX,
    `member ${of.name} on ${on.name}`,
  );
  command(`mars-${on.name} peer set ${of.name} address=${address}`);
}
