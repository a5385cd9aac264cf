import {webcrypto} from 'node:crypto';

/** SHA-256 of `bytes`, which are copied first. Not on this thread, so several run at a time. */
export async function digestOf(bytes: Buffer): Promise<Buffer> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes));
}
