/** `all` in the place of NAME: one resource after the other, one failure stops no other. */
import type {ResourceList} from '../control/api.js';
import type {Daemon} from './daemon.js';
import {toDiskError, failureBody, type FailureBody} from './failure.js';

export interface TargetsDocument<T> {
  readonly schema: 1;
  readonly resources: readonly T[];
  readonly errors: readonly {readonly name: string; readonly error: FailureBody}[];
}

/** Names of all resources of the node, in their order. */
export async function listNames(daemon: Daemon): Promise<string[]> {
  const {resources} = await daemon.get<ResourceList>('/v1/resources');
  return resources.map((resource) => resource.name);
}

/**
 * Runs `act` for each name.
 *
 * @param done is told of every answer as it comes
 * @param failed is told of every failure as it comes
 */
export async function runTargets<T>(
  names: readonly string[],
  act: (name: string) => Promise<T>,
  done: (answer: T) => void,
  failed: (name: string, error: unknown) => void,
): Promise<TargetsDocument<T>> {
  const resources: T[] = [];
  const errors: {name: string; error: FailureBody}[] = [];
  for (const name of names) {
    try {
      // In order: two roles that change at once would only race for loop devices.
      const answer = await act(name);
      resources.push(answer);
      done(answer);
    } catch (error) {
      errors.push({name, error: failureBody(toDiskError(error))});
      failed(name, error);
    }
  }

  return {schema: 1, resources, errors};
}
