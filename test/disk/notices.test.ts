/** What the disk says of itself: one message a code, with its age, gone when the trouble is. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Notices} from '../../src/disk/notices.js';
import {SimClock} from '../sim/sim-clock.js';

interface Told {
  readonly code: string;
  readonly severity: string;
}

function make(): {
  notices: Notices;
  clock: SimClock;
  told: Told[];
  take: (message: Parameters<Notices['take']>[0]) => void;
} {
  const clock = new SimClock();
  const notices = new Notices(clock);
  const told: Told[] = [];
  const take = (message: Parameters<Notices['take']>[0]): void => {
    notices.take(message, ({code, severity}) => {
      told.push({code, severity});
    });
  };
  return {notices, clock, told, take};
}

function codes(notices: Notices): string[] {
  return notices.list().map(({code, severity}) => `${code} ${severity}`);
}

test('a message keeps the time when its trouble began, and there is one of a code', () => {
  const {notices, clock} = make();
  notices.put('IMAGE_IO', 'critical', 'one');
  const since = notices.list()[0]?.since;
  clock.advance(5000);
  notices.put('IMAGE_IO', 'critical', 'two');
  assert.is(notices.list().length, 1);
  assert.is(notices.list()[0]?.since, since);
  assert.is(notices.list()[0]?.text, 'two');
  notices.drop('IMAGE_IO');
  assert.equal(notices.list(), []);
});

test('slowed writes are told once, with their reason and since when, and are no want of room', () => {
  const {notices, clock} = make();
  const slowed = {bytesPerSecond: 1024 * 1024, since: '2026-01-01T00:00:00.000Z', reason: 'so'};
  assert.match(notices.slowed(slowed) ?? '', /slowed to 1 MiB\/s: so/u);
  assert.is(notices.slowed({...slowed, reason: 'otherwise'}), undefined, 'no second event');
  assert.equal(codes(notices), ['WRITES_SLOWED warning']);
  notices.parked();
  clock.advance(2000);
  assert.match(notices.waiting()?.reason ?? '', /when-full=throttle.*otherwise/u);
  assert.match(notices.slowed(undefined) ?? '', /not slowed any more/u);
  assert.is(notices.unparked(), false, 'the log had room all the time');
  assert.equal(codes(notices), []);
  assert.is(notices.slowed(undefined), undefined);
});

test('writes that wait a moment for the next segment are no news; longer, they say for what', () => {
  const {notices, clock} = make();
  notices.parked();
  clock.advance(900);
  assert.is(notices.waiting(), null);
  assert.is(notices.unparked(), false);
  notices.parked();
  clock.advance(1500);
  assert.match(notices.waiting()?.reason ?? '', /replay/u);
  notices.logTrouble('ENOSPC');
  assert.match(notices.waiting()?.reason ?? '', /ENOSPC.*nothing is lost/u);
  assert.is(notices.unparked(), true);
  assert.is(notices.waiting(), null);
});

test('trouble with the next segment is told by its kind and taken back', () => {
  const {notices} = make();
  notices.logTrouble('ENOSPC');
  assert.equal(codes(notices), ['LOG_SPACE critical']);
  notices.logTrouble(undefined);
  assert.equal(codes(notices), []);
  notices.logTrouble('EIO');
  assert.equal(codes(notices), ['LOG_IO critical']);
});

test('a received log that fails otherwise than for want of room does not ask for room', () => {
  const {notices} = make();
  for (const errno of ['EIO', 'EROFS', 'EACCES']) {
    notices.spareTrouble(errno);
    assert.equal(codes(notices), ['LOG_IO warning'], errno);
  }

  for (const errno of ['ENOSPC', 'EDQUOT']) {
    notices.spareTrouble(errno);
    assert.equal(codes(notices), ['LOG_SPACE warning'], errno);
  }

  notices.put('LOG_IO', 'critical', 'said by another');
  notices.spareTrouble(undefined);
  assert.equal(codes(notices), ['LOG_IO critical']);
});

test('trouble of replay is reported once, shown while it lasts, and only its newest kind', () => {
  const {notices, told, take} = make();
  take({kind: 'replay-error', code: 'STORE_FULL', text: 'full'});
  take({kind: 'replay-error', code: 'STORE_FULL', text: 'full'});
  assert.is(told.length, 1);
  take({kind: 'replay-error', code: 'IMAGE_IO', text: 'bad'});
  assert.equal(codes(notices), ['IMAGE_IO critical']);
  take({kind: 'replay-error', code: undefined, text: ''});
  assert.equal(codes(notices), []);
});

test('a tail that moved is a warning, a log that was given up stays critical', () => {
  const {notices, told, take} = make();
  take({kind: 'log-error', errno: 'EIO'});
  take({kind: 'log-moved', number: 4});
  assert.equal(codes(notices), ['LOG_IO warning']);
  take({kind: 'log-defective', errno: 'EIO'});
  assert.equal(codes(notices), ['LOG_IO critical']);
  notices.logTrouble(undefined);
  assert.equal(codes(notices), ['LOG_IO critical']);
  assert.equal(
    told.map(({severity}) => severity),
    ['critical', 'warning', 'critical'],
  );
});

test.run();
