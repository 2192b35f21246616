#!/bin/sh
# Stands in for systemd: starts a program again 0.2 s after it ended, however it ended.
child=
trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null; exit 0' TERM INT
while :; do
  # A session of its own: a signal to the program's group does not reach this loop.
  setsid "$@" &
  child=$!
  status=0
  wait "$child" || status=$?
  child=
  echo "supervise: $* ended with status $status" >&2
  sleep 0.2
done
