/** `mars log list`: what is told of the logfiles. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {formatPosition} from '../../src/core/position.js';
import {listLog} from '../../src/daemon/log-list.js';
import type {Resource} from '../../src/daemon/resource.js';
import {ForkNode} from './replication/fork-rig.js';
import {disk} from './replication/samples.js';

test('the open file never ends before it begins, however old the word of the disk process is', () => {
  const alpha = new ForkNode('alpha');
  try {
    alpha.begin(1, {position: 0, chain: {low: 0, high: 0}});
    alpha.write(1, 2);
    alpha.begin(2, alpha.common);
    alpha.write(3);
    const {file, places} = alpha.resource;
    const openAt = (position: number) => {
      const said = {file, places, disk: disk({position: formatPosition(position)})};
      return listLog(said as unknown as Resource).files.at(-1);
    };
    assert.is(openAt(alpha.position)?.end, formatPosition(alpha.position));
    const old = openAt(0);
    assert.ok(old !== undefined && old.start > formatPosition(0));
    assert.is(old.end, old.start);
    const none = {file, places, disk: undefined} as unknown as Resource;
    assert.is(listLog(none).files.at(-1)?.end, null);
  } finally {
    alpha.dispose();
  }
});

test.run();
