// Appends numbered lines to a file, each with fdatasync, and prints the number when that returned.
//   append-program.mjs FILE FIRST     ends at the end of its input
import fs from 'node:fs';

const [file = '', first = '1'] = process.argv.slice(2);
const fd = fs.openSync(file, 'a');
let isOver = false;
process.stdin.resume().on('end', () => {
  isOver = true;
});
for (let number = Number(first); !isOver; number += 1) {
  fs.writeSync(fd, `${String(number).padStart(12, '0')} ${'.'.repeat(50)}\n`);
  fs.fdatasyncSync(fd);
  process.stdout.write(`${number}\n`);
  await new Promise((resolve) => setTimeout(resolve, 20));
}

fs.closeSync(fd);
