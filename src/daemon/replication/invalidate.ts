/**
 * `mars invalidate`: this replica is declared garbage and compared with another one from its
 * beginning. Until the copy begins all is still here, from then on until its end it is InConsistent.
 * So it is refused while no node that has a whole replica is heard of: it would be thrown away for
 * nothing.
 */
import type {DeleteRequest, InvalidateResult} from '../../control/api.js';
import {DiskError} from '../../core/errors.js';
import {chooseSource, type Candidate} from './choose-source.js';

/** What is needed of the replica on this node. */
export interface InvalidReplica {
  readonly resource: {
    readonly name: string;
    readonly file: {readonly designatedRole: 'primary' | 'secondary'};
  };
  candidates(): readonly Candidate[];
  /** Writes sync.json durably. @throws DiskError RESOURCE_PRIMARY, TIMEOUT, STORE_* */
  copyAgain(reason: DiskError): Promise<void>;
}

/**
 * Has the image copied again, or says from where it would be.
 *
 * @throws DiskError RESOURCE_PRIMARY, NO_SOURCE, CONFIRM_NEEDED, or as copyAgain
 */
export async function invalidate(
  replica: InvalidReplica,
  {dryRun, confirmed}: DeleteRequest,
): Promise<InvalidateResult> {
  const {name, file} = replica.resource;
  if (file.designatedRole === 'primary') {
    const text = `${name} is primary here: mars primary ${name} on another node comes first`;
    throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
  }

  // A whole copy is wanted, whatever this replica has.
  const own = {lineage: [], position: '', copying: true};
  const {source, reason} = chooseSource(own, replica.candidates());
  if (source?.linkUp !== true) {
    const why = source === undefined ? reason : `${source.name} is not heard of`;
    throw new DiskError('NO_SOURCE', `${name} stays as it is: ${why}`, {resource: name});
  }

  const result: InvalidateResult = {schema: 1, name, dryRun, source: source.name};
  if (dryRun) return result;
  if (!confirmed) {
    const text = `the replica of ${name} on this node would be given up and copied from ${source.name}: say --yes`;
    throw new DiskError('CONFIRM_NEEDED', text, {resource: name});
  }

  await replica.copyAgain(new DiskError('HISTORY_UNKNOWN', 'it was declared invalid'));
  return result;
}
