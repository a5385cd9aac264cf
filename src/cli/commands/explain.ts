import {Args} from '@oclif/core';
import {MarsCommand} from '../base-command.js';
import {explainWord, EXPLAINED_WORDS, renderExplanation, type Explanation} from '../explanation.js';

export default class Explain extends MarsCommand {
  static override args = {
    code: Args.string({
      description: 'code of an error or event, or name of a state; left out: a list of all',
    }),
  };
  static override examples = [
    '<%= config.bin %> <%= command.id %> LOG_SPACE',
    '<%= config.bin %> <%= command.id %> WriteBack',
  ];
  static override summary = 'what an error, event or state means, and what to do';

  async run(): Promise<Explanation | {schema: 1; words: readonly string[]}> {
    const {args} = await this.parse(Explain);
    if (args.code === undefined) {
      this.log(EXPLAINED_WORDS.join('\n'));
      return {schema: 1, words: EXPLAINED_WORDS};
    }

    const explanation = explainWord(args.code);
    this.log(renderExplanation(explanation));
    return explanation;
  }
}
