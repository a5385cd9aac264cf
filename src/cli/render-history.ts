/** What can be mounted of a disk, and what is, for people. */
import type {HistoryView, MountedMoment} from '../control/history-api.js';
import {formatDuration} from '../core/units.js';
import {formatTime} from './times.js';
import {renderTable} from './table.js';

/** Oldest and newest moment, then everything that has a name or happened between, in order. */
export function renderHistory(view: HistoryView): string {
  const {name, windowSeconds, oldest, restorableFrom, newest, marks, epochs, mounts} = view;
  const window =
    windowSeconds === 0
      ? 'history is off: the image follows within seconds'
      : `history=${formatDuration(windowSeconds)}`;
  const begun = epochs.filter(({position}) => position > oldest);
  const rows = [
    {position: oldest, time: restorableFrom, text: 'oldest moment that can be mounted'},
    ...begun.map(({position, time, node, epoch}) => {
      return {position, time, text: `${node} began to write (epoch ${epoch.slice(0, 8)})`};
    }),
    ...marks.map(({position, time, label}) => ({position, time, text: `mark ${label}`})),
  ].sort((one, other) => (one.position < other.position ? -1 : 1));
  return [
    `${name}: ${window}`,
    '',
    ...renderTable(
      ['POSITION', 'TIME', 'WHAT'],
      [
        ...rows.map(({position, time, text}) => [position, showTime(time), text]),
        [newest, '-', 'newest moment that can be mounted'],
      ],
    ),
    ...mounts.flatMap((mount) => ['', ...describe(mount)]),
  ].join('\n');
}

/** A moment that was mounted just now, and what to type next. */
export function renderMounted(mounted: MountedMoment): string {
  const {name, moment, notes, writable} = mounted;
  const at = mounted.device ?? mounted.image;
  const option = writable ? '' : '-o ro,noload ';
  return [
    ...describe(mounted),
    ...notes.map((note) => `  note      ${note}`),
    `  next      mount ${option}${at} DIR (xfs: -o ${writable ? 'nouuid' : 'ro,norecovery,nouuid'})`,
    `  end       mars history unmount ${name} ${moment}`,
  ].join('\n');
}

function describe(mounted: MountedMoment): string[] {
  const {name, moment, asked, position, time, writable, image, device, state} = mounted;
  const kind = state === 'lost' ? 'LOST: reads fail' : writable ? 'a clone, writable' : 'read-only';
  return [
    `${name} as of ${asked}: ${moment}, ${kind}`,
    `  position  ${position} (last write ${showTime(time)})`,
    `  image     ${image}`,
    `  device    ${device ?? 'none'}`,
  ];
}

function showTime(time: string | null): string {
  return time === null ? '-' : formatTime(time);
}
