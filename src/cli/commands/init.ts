import {resolve} from 'node:path';
import {Flags} from '@oclif/core';
import {systemClock} from '../../core/clock.js';
import {MarsCommand} from '../base-command.js';
import {
  defaultDevices,
  defaultMounts,
  defaultNodeName,
  initHome,
  type InitDocument,
} from '../init-home.js';
import {requireRoot} from '../root-user.js';

export default class Init extends MarsCommand {
  static override aliases = ['create-cluster'];
  static override description =
    'The node gets an id and a cluster of its own. Nothing is changed where there is a node ' +
    'already. Needs no daemon.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --name alpha --home /srv/alpha',
  ];
  static override flags = {
    name: Flags.string({description: 'name of the node [default: the host name]'}),
    listen: Flags.string({description: 'where peers reach this node', helpValue: 'ADDR:PORT'}),
    mounts: Flags.string({
      description: 'where images appear [default: /run/mars, or HOME/mnt]',
      helpValue: 'DIR',
    }),
    devices: Flags.string({
      description: 'where device links appear [default: /dev/mars, or HOME/dev]',
      helpValue: 'DIR',
    }),
  };
  static override summary = 'make this node: its home, and a new cluster of one';

  async run(): Promise<InitDocument> {
    const {flags} = await this.parse(Init);
    requireRoot('init');
    const {home} = flags;
    const document = initHome(
      {
        home,
        name: flags.name ?? defaultNodeName(),
        mounts: resolve(flags.mounts ?? defaultMounts(home)),
        devices: resolve(flags.devices ?? defaultDevices(home)),
        listen: flags.listen ?? null,
      },
      systemClock.wallMs(),
    );
    this.log(`node ${document.node} is made in ${home}; next: mars daemon run`);
    return document;
  }
}
