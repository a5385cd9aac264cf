/**
 * Answers from other threads for a driver that can answer on one thread only (fuse-native): they
 * travel as three numbers through a MessagePort.
 */
import type {MessagePort} from 'node:worker_threads';
import type {Responder} from './handler.js';

type Answer = readonly [uniqueLow: number, uniqueHigh: number, result: number];

/** For the thread that answers; a result above 0 is bytes written, one below it minus an errno. */
export function createPortResponder(port: MessagePort): Responder {
  const post = (answer: Answer): void => {
    port.postMessage(answer);
  };

  return {
    answer: (uniqueLow, uniqueHigh, errno) => {
      post([uniqueLow, uniqueHigh, -errno]);
    },
    answerWrite: (uniqueLow, uniqueHigh, writtenBytes) => {
      post([uniqueLow, uniqueHigh, writtenBytes]);
    },
  };
}

/** On the driver's thread: hands on what arrives at the other end of the port. */
export function relayAnswers(port: MessagePort, responder: Responder): void {
  port.on('message', ([uniqueLow, uniqueHigh, result]: Answer) => {
    if (result > 0) responder.answerWrite(uniqueLow, uniqueHigh, result);
    else responder.answer(uniqueLow, uniqueHigh, -result);
  });
}
