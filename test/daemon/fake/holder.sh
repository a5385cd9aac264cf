#!/bin/sh
# Stands in for src/disk/holder.sh: the lock, and one process that serves a file on a tmpfs.
exec 9>>"$1/resources/$2/lock"
flock -n 9 || exit 73
exec "$MARS_NODE" "$MARS_DISK_MAIN" "$@"
