/** `all` in the place of NAME: one resource after the other, or several at a time; no failure stops another. */
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

/** At the same time: more would only wait for each other in the daemon. */
const PARALLEL_MAX = 8;

/**
 * Runs `act` for each name; the document has the answers in the order of the names.
 *
 * @param done is told of every answer as it comes
 * @param failed is told of every failure as it comes
 */
export async function runTargets<T>(
  {names, parallel}: {readonly names: readonly string[]; readonly parallel: boolean},
  act: (name: string) => Promise<T>,
  done: (answer: T) => void,
  failed: (name: string, error: unknown) => void,
): Promise<TargetsDocument<T>> {
  const answers = new Map<string, T>();
  const errors = new Map<string, FailureBody>();
  const left = [...names];
  const work = async (): Promise<void> => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      try {
        const answer = await act(name);
        answers.set(name, answer);
        done(answer);
      } catch (error) {
        errors.set(name, failureBody(toDiskError(error)));
        failed(name, error);
      }
    }
  };
  // One after the other where nothing else is said: what is printed is then in order, too.
  await Promise.all(Array.from({length: parallel ? PARALLEL_MAX : 1}, work));
  const inOrder = <V>(map: ReadonlyMap<string, V>): (readonly [string, V])[] =>
    names.flatMap((name) => (map.has(name) ? [[name, map.get(name) as V] as const] : []));
  return {
    schema: 1,
    resources: inOrder(answers).map(([, answer]) => answer),
    errors: inOrder(errors).map(([name, error]) => ({name, error})),
  };
}
