import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {
  createKernelResponder,
  notifyInvalInode,
  notifyResend,
  sendReply,
} from '../../src/fuse/responder.js';
import {skip} from '../helpers/skip.js';
import {UNIQUE_HIGH, UNIQUE_LOW, golden} from '../helpers/fuse-bytes.js';

/** What `use` writes to a descriptor. */
function written(use: (fd: number) => void): string {
  const directory = fs.mkdtempSync('/var/tmp/mars-responder-');
  const fd = fs.openSync(path.join(directory, 'device'), 'w+');
  try {
    use(fd);
    return fs.readFileSync(path.join(directory, 'device')).toString('hex');
  } finally {
    fs.closeSync(fd);
    fs.rmSync(directory, {recursive: true});
  }
}

test('answers carry errno and both words of the unique', () => {
  const bytes = written((fd) => {
    createKernelResponder(fd).answer(UNIQUE_LOW, UNIQUE_HIGH, 5);
  });
  assert.is(bytes, golden('reply EIO').toString('hex'));
});

test('the answer to a write carries the bytes written', () => {
  const bytes = written((fd) => {
    createKernelResponder(fd).answerWrite(UNIQUE_LOW, UNIQUE_HIGH, 4096);
  });
  assert.is(bytes, golden('reply write').toString('hex'));
});

test('one responder answers again and again, in either way', () => {
  const bytes = written((fd) => {
    const responder = createKernelResponder(fd);
    responder.answerWrite(2, 0, 512);
    responder.answer(4, 1, 0);
  });
  assert.is(
    bytes,
    '180000000000000002000000000000000002000000000000' + '10000000000000000400000001000000',
  );
});

test('notifications are sent as they are; by default no pages are waited for', () => {
  assert.is(
    written((fd) => {
      assert.ok(notifyResend(fd));
    }),
    golden('notify resend').toString('hex'),
  );
  assert.is(
    written((fd) => {
      assert.ok(notifyInvalInode(fd, 2));
    }),
    golden('notify inval inode').toString('hex'),
  );
});

test('a reply that nobody waits for is dropped; one that the kernel calls malformed is a bug', () => {
  const failing = (code: string): (() => void) => {
    const original = fs.writeSync;
    return () => {
      fs.writeSync = () => {
        throw Object.assign(new Error(code), {code, syscall: 'write'});
      };
      try {
        sendReply(1, Buffer.alloc(16), 0, 16);
      } finally {
        fs.writeSync = original;
      }
    };
  };

  assert.not.throws(failing('ENOENT'));
  assert.not.throws(failing('ENODEV'));
  assert.throws(failing('EINVAL'), (error: Error) => error.name === 'AssertionError');
  assert.throws(failing('EPERM'), /EPERM/);
});

test('a device that is not mounted is an error, not a kernel without resend', (context) => {
  if (!fs.existsSync('/dev/fuse')) {
    skip(context, 'no /dev/fuse');
    return;
  }

  const fd = fs.openSync('/dev/fuse', 'r+');
  try {
    assert.throws(() => notifyResend(fd), /EPERM/); // not mounted
  } finally {
    fs.closeSync(fd);
  }
});

test.run();
