#!/bin/sh
# Stands in for src/disk/holder.sh: the lock, and one process that serves a file on a tmpfs.
exec 9>>"$1/resources/$2/lock"
# As on a busy machine: nothing is to be seen of it yet.
if [ -e "$1/fake/slow" ]; then sleep "$(cat "$1/fake/slow")"; fi
flock -n 9 || exit 73
if [ -e "$1/fake/dies" ]; then kill -KILL $$; fi
exec "$MARS_NODE" "$MARS_DISK_MAIN" "$@"
