/** Algorithms that may compress what goes to a peer, best first: names as they are on the wire. */
export const PACKING_NAMES = ['zstd', 'brotli', 'gzip'] as const;

export type PackingName = (typeof PACKING_NAMES)[number];

/** What a user wants for a peer; `auto`: the best that both have, where it makes the link faster. */
export const PACKING_WISHES = ['none', 'auto', ...PACKING_NAMES] as const;

export type PackingWish = (typeof PACKING_WISHES)[number];

/** @returns `none` for nothing, and for a name of a later version */
export function packingWishOf(text: string | undefined): PackingWish {
  return PACKING_WISHES.find((wish) => wish === text) ?? 'none';
}
