#!/bin/sh
# Keeps the FUSE descriptor (3) and the lock (9) of one mounted moment, and starts the program that serves it
# again when it dies. As holder.sh for a disk, but without a second descriptor and without adoption:
# when both die the moment is gone, and the daemon takes its remains away.
#
#   moment.sh HOME NAME ID MOUNT ro|rw
#
# It never touches a path below MOUNT.
#
# Exit: 0 the mount is gone, 70 it could not start (the last line of the output is a JSON object with
# "fatal"), 73 somebody else holds the lock, 74 the mount failed.
set -u
umask 077
home=$1 name=$2 id=$3 mount=$4 access=$5
files=$home/resources/$name/history/$id
node=${MARS_NODE:-node}
main=${MARS_MOMENT_MAIN:?}

say() { echo "moment $$: $*"; }

fatal() { # CODE MESSAGE
  printf '{"fatal":{"code":"%s","message":"%s","details":{}}}\n' "$1" "$2"
}

exec 9>>"$files.lock"
if ! flock -n 9; then
  fatal RESOURCE_LOCKED "another process has the lock $files.lock"
  exit 73
fi

rm -f "$files.fuse" "$files.fuse".*
# By command: the failure of a special builtin ends dash.
if ! command exec 3<>/dev/fuse; then
  fatal FUSE_MISSING "cannot open /dev/fuse: modprobe fuse"
  exit 74
fi

if ! words=$(mount -i -t fuse -o "$access,fd=3,rootmode=40000,user_id=0,group_id=0,max_read=1048576" \
  mars "$mount" 2>&1); then
  fatal MOUNT_FAILED "cannot mount $mount: $words"
  exit 74
fi

mounted() { grep -qF " $(printf %s "$mount" | sed 's/ /\\040/g') fuse" /proc/self/mounts; }

generation=0
early=0
while :; do
  generation=$((generation + 1))
  read -r began _ </proc/uptime
  MARS_GENERATION=$generation "$node" --max-old-space-size=128 --max-semi-space-size=2 \
    "$main" "$home" "$name" "$id"
  status=$?
  [ $status -eq 0 ] && exit 0
  say "generation $generation ended with $status"
  if [ $status -eq 70 ]; then
    # Nobody reads requests any more: the last descriptor aborts the connection.
    exec 3<&-
    umount -i -c "$mount"
    exit 70
  fi
  mounted || exit 0
  read -r now _ </proc/uptime
  if [ $((${now%.*} - ${began%.*})) -lt 2 ]; then early=$((early + 1)); else early=0; fi
  # One death is answered at once; one that comes back gets pauses. Without our descriptors.
  if [ "$early" -gt 20 ]; then sleep 10 3<&- 9<&-; elif [ "$early" -gt 2 ]; then sleep 1 3<&- 9<&-; fi
done
