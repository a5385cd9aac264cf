#!/bin/sh
# The holder of one resource: keeps the FUSE descriptors (3, 5) and the lock of the resource (9), and
# starts the disk process again when it dies. It knows nothing else, so it has no reason to die.
#
#   holder.sh HOME NAME MOUNT DRIVER MODE [adopt]
#
#   DRIVER  kernel | fuse-native | auto      MODE  serve | replay | follow
#   NAME.program in the directory of the socket, where it is there, has two lines: the node and the
#   main.js that the next generation runs; the daemon writes it when the program is to be renewed.
#
#   adopt   started by a disk process whose holder died: 3, 5 and 9 are inherited, and 4, the reading
#           end of the FIFO, which tells when that disk process ends
#
# It never touches a path below MOUNT: a thread that waits there for a dead disk process could not
# be killed, and nobody would be left to start the next one.
#
# Exit: 0 the disk ended in order, 70 it could not start (the last line of the output is a JSON
# object with "fatal"), 71 the mount of fuse-native died, 73 somebody else holds the lock, 74 the
# mount failed.
set -u
umask 077
home=$1 name=$2 mount=$3 driver=$4 mode=$5 adopt=${6-}
directory=$home/resources/$name
run=$home/run/disks/$name
node=${MARS_NODE:-node}
main=${MARS_DISK_MAIN:?}
generation=${MARS_GENERATION:-0}

say() { echo "holder $$: $*"; }

fatal() { # CODE MESSAGE
  printf '{"fatal":{"code":"%s","message":"%s","details":{}}}\n' "$1" "$2"
}

mount_kernel() {
  # By command: the failure of a special builtin ends dash.
  command exec 3<>/dev/fuse || return 1
  words=$(mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,max_read=1048576 \
    mars "$mount" 2>&1) && second_descriptor && return 0
  exec 3<&-
  say "mount: $words"
  return 1
}

# 5: another descriptor of the same connection, which does not block, to look whether more requests
# wait. Kept here like 3: what was read from it and not answered would end with an error when the
# last one is closed. Without it requests are handled one by one. FUSE_DEV_IOC_CLONE is
# _IOR(229, 0, uint32_t); both it and O_NONBLOCK count for the open file, which perl only borrows.
second_descriptor() {
  command exec 5<>/dev/fuse || return 0
  if perl -e '
    use Fcntl;
    open(my $second, "+<&=", 5) or exit 1;
    my $first = pack("L", 3);
    defined ioctl($second, 0x8004e500, $first) or exit 1;
    defined fcntl($second, F_SETFL, O_RDWR | O_NONBLOCK) or exit 1;
  ' 2>/dev/null; then
    export MARS_FUSE_SECOND=1
  else
    exec 5<&-
  fi
  return 0
}

# Asks the kernel's table, which touches no path.
mounted() { grep -qF " $(printf %s "$mount" | sed 's/ /\\040/g') fuse" /proc/self/mounts; }

if [ "$adopt" = adopt ]; then
  # Ends when the last writer, the disk process, is gone. It was opened there: an open here would
  # wait for ever for one that is dead already.
  word=
  read -r word <&4
  exec 4<&-
  # It was told to end: whoever told it waits for the locks.
  [ "$word" = end ] && exit 0
  mounted || [ "$mode" != serve ] || exit 0
else
  unset MARS_FUSE_SECOND
  exec 9>>"$directory/lock"
  if ! flock -n 9; then
    fatal RESOURCE_LOCKED "another holder has the lock $directory/lock"
    exit 73
  fi
  rm -f "$run.fuse" "$run.fuse".* "$run.program"
  if [ "$mode" = serve ] && [ "$driver" != fuse-native ]; then
    if [ -e /dev/fuse ] && mount_kernel; then
      driver=kernel
    elif [ "$driver" = auto ]; then
      driver=fuse-native
    elif [ ! -e /dev/fuse ]; then
      fatal FUSE_MISSING "there is no /dev/fuse: modprobe fuse"
      exit 74
    else
      fatal MOUNT_FAILED "cannot mount $mount: ${words:-cannot open /dev/fuse}"
      exit 74
    fi
  fi
fi

[ -p "$run.fifo" ] || { rm -f "$run.fifo"; mkfifo "$run.fifo"; }

centiseconds() {
  read -r up _ </proc/uptime
  echo "${up%.*}${up#*.}"
}

# PR_SET_IO_FLUSHER (57): memory for our writes is never got by writing to our own device. Without
# CAP_SYS_RESOURCE it is refused and nothing is lost. The name begins with @: systemd lets storage
# daemons live until after the unmount.
#
# Two helpers do fallocate(2) for the disk process (core/fallocate): forks of its own would cost
# it its pages. They hold the generation lock, which they inherit, until what they do is done, and
# end when the disk process does.
start='
  my $aarch64 = (`uname -m` =~ /aarch64/);
  syscall($aarch64 ? 167 : 157, 57, 1, 0, 0, 0);
  my $program = shift @ARGV;
  my $disk = $$;
  my (@mine, @words);
  $^F = 1023;
  for (1 .. 2) {
    pipe(my $requests, my $asks) && pipe(my $replies, my $answers) or last;
    my $pid = fork;
    last unless defined $pid;
    if ($pid) {
      push @mine, $asks, $replies;
      push @words, fileno($asks) . ":" . fileno($replies);
      next;
    }
    $0 = "\@mars-ranges";
    $SIG{$_} = "IGNORE" for qw(TERM INT HUP PIPE);
    close $_ for @mine, $asks, $replies;
    require POSIX;
    # Perl counts who uses 0 and 1: closed behind its back, a file that gets one stays open.
    open(STDIN, "<", "/dev/null");
    open(STDOUT, ">", "/dev/null");
    POSIX::close($_) for 3, 5, 9;
    my $call = $aarch64 ? 47 : 285;
    while (my $line = <$requests>) {
      my ($kind, $fd, $count) = split " ", $line;
      my @ranges = map { scalar <$requests> } 1 .. $count;
      my $errno = 0;
      if (open(my $file, "+<", "/proc/$disk/fd/$fd")) {
        for my $range (@ranges) {
          my ($offset, $length) = split " ", $range;
          for my $mode ($kind eq "punch" ? (3, 17) : (0)) {
            $errno = 0;
            last if 0 == syscall($call, fileno($file), $mode, $offset + 0, $length + 0);
            $errno = $! + 0 || 5;
          }
          last if $errno;
        }
        # Before the answer: whoever removes the file then has its space back.
        close $file;
      } else {
        $errno = $! + 0 || 5;
      }
      syswrite($answers, "$errno\n");
    }
    POSIX::_exit(0);
  }
  $ENV{MARS_HELPERS} = join ",", @words;
  exec {$program} "\@mars-disk", @ARGV;
'

# Without our descriptors: a holder that is ended meanwhile gives the lock back at once.
pause() { sleep "$1" 3<&- 5<&- 9<&-; }

# Only who serves has a mount, and so a driver to choose.
[ "$mode" != serve ] && driver=kernel

quick=0
early=0
while :; do
  generation=$((generation + 1))
  # Both or none: a file that is cut off or names what is gone changes nothing.
  if [ -r "$run.program" ] && { read -r next_node && read -r next_main; } <"$run.program" &&
    [ -x "$next_node" ] && [ -r "$next_main" ]; then
    node=$next_node main=$next_main
  fi
  began=$(centiseconds)
  (
    exec 8>>"$directory/generation.lock"
    if ! flock -n 8; then
      # It looks at open files of strangers, also below our mount, where nobody answers now.
      say "waits for the generation before: $(timeout -s KILL 2 lslocks -n -o PID,COMMAND,PATH 2>/dev/null |
        grep "$directory/generation.lock" | tr -s ' ' | tr '\n' ';')"
      flock 8
    fi
    # The daemon puts a good logfile in the place of a damaged one: a generation that read the log before that
    # would take the damage for the torn end of the log, and cut it there.
    if [ -e "$directory/mend.lock" ]; then
      exec 7>>"$directory/mend.lock"
      flock -w 60 7 || say "the log is not mended after 60 s: reads it as it is"
      exec 7>&-
    fi
    # What the user accepted was the image at the start, not one that is swapped later.
    [ "$generation" -eq 1 ] || unset MARS_ACCEPT_IMAGE
    export MARS_GENERATION=$generation MARS_HOLDER_PID=$$ MARS_HOLDER_SCRIPT=$0
    set -- --max-old-space-size=128 --max-semi-space-size=2 \
      "$main" "$home" "$name" "$mount" "$driver" "$mode"
    if command -v perl >/dev/null; then
      exec perl -e "$start" "$node" "$@"
    fi
    exec "$node" "$@"
  )
  status=$?
  [ $status -eq 0 ] && exit 0
  lived=$(($(centiseconds) - began))
  # It ended so that this generation may run another version: no death.
  [ $status -eq 75 ] && continue
  say "disk process of generation $generation ended with $status after ${lived}0 ms"
  if [ $status -eq 70 ] && [ "$generation" -eq 1 ]; then
    if [ "$driver" = kernel ] && [ "$mode" = serve ]; then
      # Nobody reads requests any more: until the last descriptor is gone and the kernel aborts the
      # connection, whoever looks at the mount waits for ever, umount too.
      exec 3<&- 5<&-
      umount -i -c "$mount"
    fi
    exit 70
  fi
  # It cannot start, and its mount was taken away meanwhile: there is nobody to try again for.
  [ $status -eq 70 ] && [ "$mode" = serve ] && ! mounted && exit 70
  # The mount of fuse-native ends with the process that made it, and the loop device on it too: the
  # daemon finds the lock free, takes both away and starts anew.
  [ "$driver" = fuse-native ] && [ "$mode" = serve ] && exit 71
  if [ "$lived" -lt 100 ]; then quick=$((quick + 1)); else quick=0; fi
  if [ "$lived" -lt 1000 ]; then early=$((early + 1)); else early=0; fi
  # A death now and then is answered at once; one that comes back gets growing pauses.
  case $quick in
    0 | 1) ;;
    2) pause 0.2 ;;
    3) pause 0.5 ;;
    4) pause 1 ;;
    5) pause 3 ;;
    6) pause 10 ;;
    *) pause 30 ;;
  esac
  # So is one that comes back after a second or more, only later.
  if [ "$early" -gt 160 ]; then
    pause 30
  elif [ "$early" -gt 80 ]; then
    pause 5
  elif [ "$early" -gt 40 ]; then
    pause 1
  fi
done
