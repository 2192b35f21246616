#!/bin/sh
# What udhcpc does with an answer on a lab host: address, routes and the private /etc/resolv.conf.
case $1 in
deconfig)
  ip link set "$interface" up
  ip -4 addr flush dev "$interface"
  ;;
bound | renew)
  ip -4 addr replace "$ip/$mask" dev "$interface"
  for old in $(ip -4 -o addr show dev "$interface" | awk '{ print $4 }'); do
    [ "$old" = "$ip/$mask" ] || ip -4 addr del "$old" dev "$interface"
  done
  ip -4 route flush dev "$interface" proto dhcp
  if [ -n "$staticroutes" ]; then
    # RFC 3442: with option 121 the router option is ignored.
    # shellcheck disable=SC2086 # a list of PREFIX GATEWAY pairs
    set -- $staticroutes
    while [ $# -ge 2 ]; do
      if [ "$2" = 0.0.0.0 ]; then
        ip -4 route replace "$1" dev "$interface" proto dhcp
      else
        ip -4 route replace "$1" via "$2" dev "$interface" proto dhcp
      fi
      shift 2
    done
  else
    for gateway in $router; do
      ip -4 route replace default via "$gateway" dev "$interface" proto dhcp
      break
    done
  fi
  {
    for server in $dns; do echo "nameserver $server"; done
    [ -z "${search:-$domain}" ] || echo "search ${search:-$domain}"
  } >/etc/resolv.conf
  # Everything the server said, for the tests.
  env | grep -E '^(ip|mask|router|dns|domain|search|staticroutes|serverid|lease|hostname)=' >/run/dhcp.lease
  ;;
leasefail | nak) ;;
esac
