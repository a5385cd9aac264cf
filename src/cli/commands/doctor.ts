import {EXIT} from '../../core/codes.js';
import {checkMachine, type MachineCheck} from '../../core/machine.js';
import {MarsCommand} from '../base-command.js';
import {checkClocks} from '../check-clocks.js';
import {connectDaemon} from '../daemon.js';
import {choosePaint} from '../paint.js';
import {isFit, renderChecks, sortChecks} from '../render-doctor.js';

interface DoctorDocument {
  readonly schema: 1;
  /** false where something critical is missing. */
  readonly ok: boolean;
  readonly checks: readonly MachineCheck[];
}

export default class Doctor extends MarsCommand {
  static override description =
    'What is missing comes first, each with its remedy. Changes nothing; without a daemon only the clocks of ' +
    'other nodes cannot be compared. The ' +
    'exit status is 3 where something critical is missing.';
  static override examples = ['<%= config.bin %> <%= command.id %>'];
  static override summary = 'what this machine can do, and what it lacks';

  async run(): Promise<DoctorDocument> {
    const {flags} = await this.parse(Doctor);
    const {home} = flags;
    const machine = checkMachine({home, installation: this.config.root});
    const checks = sortChecks([...machine, await checkClocks(connectDaemon(home))]);
    const document: DoctorDocument = {schema: 1, ok: isFit(checks), checks};
    this.log(renderChecks(checks, choosePaint(process.stdout)));
    if (!document.ok) this.finish(document, EXIT.refused);
    return document;
  }
}
