#!/bin/sh
# The lab: a whole APN on one machine. The work is in test/support/lab; `exec` is here because it has to be fast.
set -eu

usage() {
  cat >&2 <<'TEXT'
usage: scripts/lab.sh up [--empty]        start the lab (--empty: an unclaimed router, nothing configured)
                      [--uplink]       with a hosted APN to import
       scripts/lab.sh status [--json]     hosts, addresses, what runs, UI address
       scripts/lab.sh exec HOST -- CMD…   run a command on a host
       scripts/lab.sh down                end and remove everything; safe to repeat
LAB=name in the environment chooses another lab than "apn"; labs run side by side.
TEXT
  exit 2
}

repository=$(cd -- "${0%/*}/.." && pwd -P)
LAB=${LAB:-apn}
export LAB

case ${1-} in
exec)
  [ $# -ge 3 ] || usage
  host=$2
  shift 2
  [ "$1" != -- ] || shift
  [ $# -ge 1 ] || usage
  folder=$repository/.lab/$LAB
  holder=
  case $host in */* | .*) ;; *) { read -r holder <"$folder/hosts/$host/holder"; } 2>/dev/null || : ;; esac
  # The holder may be gone and its number reused: it must really live in the host's namespace.
  if [ -z "$holder" ] || ! [ "/proc/$holder/ns/net" -ef "/run/netns/$LAB-$host" ]; then
    if [ -d "$folder/hosts" ]; then
      echo "lab: lab $LAB has no running host $host" >&2
    else
      echo "lab: lab $LAB is not running; start it with scripts/lab.sh up" >&2
    fi
    exit 125
  fi
  PATH=$folder/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  export PATH
  [ "$host" != hub ] || export APN_SOCKET=/run/apn/control.sock
  exec nsenter -t "$holder" -n -m -u -r -w -- "$@"
  ;;
up | down | status)
  node=$repository/node_modules/.bin/node
  if ! [ -x "$node" ]; then
    echo 'lab: the packages are not installed; run scripts/setup.sh' >&2
    exit 1
  fi
  exec "$node" "$repository/test/support/lab/main.ts" "$@"
  ;;
*) usage ;;
esac
