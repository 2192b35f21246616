#!/bin/sh
# Sets up like run.sh and runs every ring of tests; the last line is the total. `test.sh unit lab` runs only these.
set -eu
here=${0%/*}
"$here/setup.sh" --test
exec "$here/../node_modules/.bin/node" "$here/test.ts" "$@"
