import * as v from 'valibot';

/**
 * Checks a value that came from outside.
 *
 * @throws Error that names the place of the first fault: `"driver": Invalid type ...`
 */
export function check<S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const place = v.getDotPath(issue);
  throw new Error(place === null ? issue.message : `"${place}": ${issue.message}`);
}
