/**
 * The terminal as one screen: the alternate screen of xterm and its kin (ECMA-48 sequences), keys
 * one by one. What was on the terminal before is there again when it is closed, by the end of the
 * process or by a signal at the latest.
 */
import type {ReadStream, WriteStream} from 'node:tty';

const ENTER = '\u001B[?1049h\u001B[?25l';
const LEAVE = '\u001B[?25h\u001B[?1049l';
const HOME = '\u001B[H';
const CLEAR_LINE = '\u001B[K';
const CLEAR_BELOW = '\u001B[J';

const KEYS: Readonly<Record<string, Key>> = {
  '\u001B[A': 'up',
  '\u001B[B': 'down',
  '\u001B[C': 'right',
  '\u001B[D': 'left',
  '\u001BOA': 'up',
  '\u001BOB': 'down',
  '\u001BOC': 'right',
  '\u001BOD': 'left',
  '\u0003': 'quit',
  q: 'quit',
  Q: 'quit',
  p: 'pause',
  P: 'pause',
  l: 'latency',
  L: 'latency',
};

export type Key = 'up' | 'down' | 'left' | 'right' | 'pause' | 'latency' | 'quit';

type Input = Pick<ReadStream, 'on' | 'off' | 'resume' | 'pause'> &
  Partial<Pick<ReadStream, 'setRawMode'>>;
type Output = Pick<WriteStream, 'write'>;

export interface FullScreen {
  /** Shows a text, each of its lines at most as wide as the terminal. */
  show(text: string): void;
  close(): void;
}

/**
 * Takes the terminal.
 *
 * @param onKey is told of each key that means something
 */
export function openFullScreen(
  input: Input,
  output: Output,
  onKey: (key: Key) => void,
  host: Pick<NodeJS.Process, 'once' | 'off' | 'kill' | 'pid'> = process,
): FullScreen {
  let isOpen = true;
  const onData = (data: Buffer | string): void => {
    for (const key of parseKeys(data.toString())) onKey(key);
  };
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    input.off('data', onData);
    input.setRawMode?.(false);
    input.pause();
    output.write(LEAVE);
    host.off('exit', close);
    for (const [signal, listener] of listeners) host.off(signal, listener);
  };
  const listeners = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => {
    const listener = (): void => {
      close();
      // Whoever started the command is to see by what it ended.
      host.kill(host.pid, signal);
    };
    return [signal, listener] as const;
  });
  host.once('exit', close);
  for (const [signal, listener] of listeners) host.once(signal, listener);
  output.write(ENTER);
  input.setRawMode?.(true);
  input.on('data', onData);
  input.resume();
  return {
    show: (text) => {
      const lines = text.split('\n').map((line) => `${line}${CLEAR_LINE}`);
      if (isOpen) output.write(`${HOME}${lines.join('\r\n')}${CLEAR_BELOW}`);
    },
    close,
  };
}

/** The keys in what a terminal sent; what means nothing is left out. */
export function parseKeys(text: string): Key[] {
  const parts = text.match(/\u001B[[O][A-Z]|[\s\S]/gu) ?? [];
  return parts.flatMap((part) => KEYS[part] ?? []);
}
