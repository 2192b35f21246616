#!/bin/sh
# From a fresh clone to a running APN on this machine: set-up, build, the lab with its demonstration.
set -eu
here=${0%/*}
"$here/setup.sh"
exec "$here/lab.sh" up "$@"
