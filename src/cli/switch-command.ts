/**
 * A switch of a replica: one word to the daemon, here, on another node (`--host`), or on every node
 * that has a replica (`--everywhere`, the -global forms of MARS).
 */
import {Flags} from '@oclif/core';
import type {StatusDocument} from '../control/api.js';
import {MarsCommand} from './base-command.js';
import {connectDaemon, resourcePath} from './daemon.js';
import {exitOf, failureBody, renderFailure, toDiskError, type FailureBody} from './failure.js';
import {hostFlag, parallelFlag, targetArgument, timeoutFlag} from './options.js';
import type {TargetsDocument} from './targets.js';

/** What the nodes with a replica answered. */
export interface EverywhereDocument<View> {
  readonly schema: 1;
  readonly name: string;
  readonly nodes: readonly {readonly node: string; readonly view: View}[];
  readonly errors: readonly {readonly node: string; readonly error: FailureBody}[];
}

/** Base of connect, disconnect, and of pause and resume of the flows. */
export abstract class SwitchCommand<View extends object> extends MarsCommand {
  static override args = {name: targetArgument};
  static override flags = {
    host: hostFlag,
    everywhere: Flags.boolean({
      description: 'on every node that has a replica, one after the other',
      default: false,
      exclusive: ['host'],
    }),
    parallel: parallelFlag,
    timeout: timeoutFlag(60),
  };

  /** Path of the request below that of the resource. */
  protected abstract readonly path: string;

  /** Its answer for people. */
  protected abstract render(view: View): string;

  async run(): Promise<View | EverywhereDocument<View> | TargetsDocument<object>> {
    const {args, flags} = await this.parse(SwitchCommand<View>);
    const {home, host, everywhere, timeout, parallel} = flags;
    const daemon = connectDaemon(home, host);
    const targets = {daemon, target: args.name, parallel};
    if (!everywhere) {
      return this.forTargets(
        targets,
        (name) => daemon.post<View>(resourcePath(name, this.path), {}, timeout),
        (view) => {
          this.log(this.render(view));
        },
      );
    }

    let exit = 0;
    const document = await this.forTargets(
      targets,
      (name) => this.#everywhere(home, name, timeout),
      ({nodes, errors}) => {
        for (const {node, view} of nodes) this.log(`${node}: ${this.render(view)}`);
        const [first] = errors;
        if (exit === 0 && first !== undefined) exit = exitOf(first.error.code);
      },
    );
    if (exit !== 0) this.finish(document, exit);
    return document;
  }

  async #everywhere(
    home: string,
    name: string,
    timeoutSeconds: number,
  ): Promise<EverywhereDocument<View>> {
    const here = connectDaemon(home);
    const query = `?resource=${encodeURIComponent(name)}`;
    const {node, resources} = await here.get<StatusDocument>(`/v1/status${query}`);
    const view = await here.post<View>(resourcePath(name, this.path), {}, timeoutSeconds);
    const replicas = resources[0]?.replicas ?? [];
    const nodes = [{node, view}];
    const errors: EverywhereDocument<View>['errors'][number][] = [];
    for (const replica of replicas) {
      try {
        const there = connectDaemon(home, replica.node);
        const answer = await there.post<View>(resourcePath(name, this.path), {}, timeoutSeconds);
        nodes.push({node: replica.node, view: answer});
      } catch (error) {
        const failure = toDiskError(error);
        this.logToStderr(`${replica.node}:\n${renderFailure(failure)}`);
        errors.push({node: replica.node, error: failureBody(failure)});
      }
    }

    return {schema: 1, name, nodes, errors};
  }
}
