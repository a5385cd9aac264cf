/**
 * Remembers what `look` found for as long as the code that asks does not give way: nothing that it looks at
 * is changed by this process meanwhile. For a document on many things, which would look once for each.
 */
export function inOneMoment<T>(look: () => T): () => T {
  let found: {readonly value: T} | undefined;
  return () => {
    if (found === undefined) {
      found = {value: look()};
      queueMicrotask(() => {
        found = undefined;
      });
    }

    return found.value;
  };
}
