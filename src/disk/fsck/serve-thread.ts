/** Serves a LayeredDisk until its mount is gone. It opens and closes no descriptor. */
import {parentPort, workerData} from 'node:worker_threads';
import {createNodeFiles} from '../../core/files.js';
import {runKernelSession} from '../../fuse/kernel-session.js';
import {LayeredDisk, type LayerDescriptors, type LayerMemory} from './layered-disk.js';

export interface ServeInput {
  readonly memory: LayerMemory;
  readonly descriptors: LayerDescriptors;
  readonly limitBytes: number;
  readonly fuseFd: number;
  readonly initFile: string;
}

const {memory, descriptors, limitBytes, fuseFd, initFile} = workerData as ServeInput;
runKernelSession({
  fd: fuseFd,
  handler: new LayeredDisk({files: createNodeFiles(), memory, descriptors, limitBytes}),
  initFile,
  resend: false,
  onInit: () => undefined,
  report: (_code, _severity, text) => {
    throw new Error(text);
  },
});
parentPort?.postMessage('unmounted');
