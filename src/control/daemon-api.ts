/** Restarts and renewals, and where metrics are served: the paths are in control/api.ts. */
import type {RoleRequest} from './api.js';

export interface RestartRequest {
  /** Absolute path of the daemon's main.js in another installation; absent: as it was started. */
  readonly program?: string;
  /** Absolute path of the Node that runs it, where it was tried; absent: the one that runs now. */
  readonly node?: string;
}

export interface RenewedProcess {
  readonly pid: number;
  readonly version: string | null;
}

export type RenewRequest = RoleRequest;

/** A disk process that was started again. */
export interface RenewResult {
  readonly schema: 1;
  readonly name: string;
  /** null: none ran, nothing was done. */
  readonly mode: string | null;
  readonly before: RenewedProcess | null;
  /** null also where a write-back was all that it did, and begins again by itself. */
  readonly after: RenewedProcess | null;
}

/** Where metrics are served besides the control socket. */
export interface MetricsListenView {
  readonly schema: 1;
  /** `127.0.0.1:9464`; null: nowhere. */
  readonly listen: string | null;
  /** false: the port cannot be had; it is tried again. */
  readonly served: boolean;
}

export interface MetricsListenRequest {
  readonly listen: string | null;
}
