/**
 * What one node asks of another for `mars resource move`; on the control socket of the node whose
 * replica goes:
 *
 *   POST /v1/resources/NAME/move/join     MoveJoinRequest    -> {}; the other node gets a replica
 *   POST /v1/resources/NAME/move/primary  MovePrimaryRequest -> {}; the other node becomes primary
 */

export interface MoveJoinRequest {
  /** Name of the other node. */
  readonly to: string;
  /** Absolute path over there of a file, made if missing, or a block device. */
  readonly image?: string;
}

export interface MovePrimaryRequest {
  readonly to: string;
  readonly timeoutSeconds: number;
}
