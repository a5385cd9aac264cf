/** What members may do on a node with `--host` (daemon/remote). */
export const REMOTE_CONTROLS = ['off', 'read', 'act'] as const;

export type RemoteControl = (typeof REMOTE_CONTROLS)[number];
