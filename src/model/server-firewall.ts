// The `apn-firewall` command of a server: closes its public ports once SSH through the APN was seen to work.

/**
 * POSIX sh over nft(8). What is closed stands in a set whose elements the kernel takes out by itself: until it is
 * confirmed, the ports open again whatever becomes of the session, or of any program.
 */
export const firewallCommand = `#!/bin/sh
# Closes the public TCP and UDP ports of this server: the way in is the APN.
set -eu
tunnel=apn
rules=/etc/wireguard/apn-firewall.nft
unit=/etc/systemd/system/apn-firewall.service

say() { printf '%s\\n' "$*"; }
fail() {
  printf 'apn-firewall: %s\\n' "$*" >&2
  exit 1
}
usage() {
  say "apn-firewall close [--for SECONDS] [--keep INTERFACE]… [--ssh-port PORT]"
  say "                            close them for a while: 90 s, unless confirmed"
  say "apn-firewall confirm        leave them closed, over a restart too"
  say "apn-firewall open           open them again"
  say "apn-firewall status"
}

own_address() { ip -o -4 address show dev "$tunnel" 2>/dev/null | sed -n 's/.* inet \\([0-9.]*\\).*/\\1/p'; }

# This session came through the APN, or another SSH session did.
proven() {
  set -- "$1" "$2" \${SSH_CONNECTION:-}
  if [ "\${5:-}" = "$1" ]; then return 0; fi
  ss -Htn state established | {
    while read -r _ _ local _; do
      case $local in "$1:$2" | "[::ffff:$1]:$2") exit 0 ;; esac
    done
    exit 1
  }
}

# Interfaces towards the Internet, for what is passed on to containers.
public() { { ip -o route show default; ip -o -6 route show default; } | sed -n 's/.* dev \\([^ ]*\\).*/"\\1"/p' | sort -u | paste -s -d ,; }

ruleset() {
  outside=$(public)
  port=$(wg show "$tunnel" listen-port)
  cat <<END
table inet apn_server
delete table inet apn_server
table inet apn_server {
  set closed {
    type inet_proto; flags timeout
    elements = { tcp$1, udp$1, udplite$1, sctp$1, dccp$1 }
  }
  chain input {
    type filter hook input priority -10; policy accept;
    iifname { $kept } accept
    ct state established,related accept
    # WireGuard itself, and the answers of DHCP and DHCPv6 servers.
    udp dport $port accept
    udp sport 67 udp dport 68 accept
    udp sport 547 udp dport 546 accept
    # Connections from before anything was tracked look new; a new one starts with SYN alone.
    tcp flags & (fin | syn | rst | ack) != syn accept
    meta l4proto @closed drop
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
\${outside:+    iifname { $outside \\} ct state new ct status dnat meta l4proto @closed drop}
  }
}
END
}

# The time left, "for good", or nothing when they are open.
closed() {
  found=$(nft list set inet apn_server closed 2>/dev/null) || return 0
  case $found in
    *' tcp timeout '*) say "$found" | sed -n 's/.* tcp timeout [^ ]* expires \\([0-9a-z]*\\).*/\\1/p' ;;
    *' tcp'*) say "for good" ;;
  esac
}

close() {
  seconds=90
  ssh_port=22
  kept="\\"lo\\", \\"$tunnel\\""
  while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || fail "$1 needs a value."
    case $1 in
      --for) seconds=$2 ;;
      --ssh-port) ssh_port=$2 ;;
      --keep) case $2 in *[!a-zA-Z0-9_.-]*) fail "this is no interface: $2" ;; *) kept="$kept, \\"$2\\"" ;; esac ;;
      *) fail "there is no option $1." ;;
    esac
    shift 2
  done
  case $seconds in '' | 0* | *[!0-9]*) fail "--for is a number of seconds." ;; esac
  address=$(own_address)
  [ -n "$address" ] || fail "the tunnel $tunnel is not up."
  proven "$address" "$ssh_port" || fail "log in through the APN first (ssh $address, from a device that may), and type it there. Nothing was closed."
  ruleset " timeout \${seconds}s" | nft -f -
  mkdir -p /run/apn-firewall
  say "$kept" >/run/apn-firewall/kept
  say "The public ports are closed, and open again in $seconds s. Log in once more through the APN; when that"
  say "works, type: apn-firewall confirm"
}

confirm() {
  [ -n "$(closed)" ] || fail "nothing is closed: the time was over. Start anew with apn-firewall close."
  kept=$(cat /run/apn-firewall/kept)
  ruleset '' >"$rules.new"
  nft -f "$rules.new"
  mv "$rules.new" "$rules"
  say "The public ports stay closed. apn-firewall open opens them."
  if [ ! -d /run/systemd/system ]; then
    say "There is no systemd here: at the start of the machine, run nft -f $rules."
    return
  fi
  cat >"$unit" <<'END'
[Unit]
Description=Public ports closed, the way in is the APN
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
# Debian's nftables.service empties every table first.
After=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/wireguard/apn-firewall.nft

[Install]
WantedBy=sysinit.target
END
  systemctl daemon-reload
  systemctl enable --quiet apn-firewall.service
}

open() {
  if [ -e "$unit" ]; then systemctl disable --quiet apn-firewall.service; fi
  rm -f "$unit" "$rules"
  if nft list table inet apn_server >/dev/null 2>&1; then nft delete table inet apn_server; fi
  say "The public ports are open."
}

status() {
  left=$(closed)
  if [ -z "$left" ]; then say "open"; else say "closed, $left"; fi
}

[ "$(id -u)" = 0 ] || fail "run it as root."
command=\${1:-}
case $command in
  close) shift; close "$@" ;;
  confirm | open | status) [ $# = 1 ] || fail "$command takes nothing more."; "$command" ;;
  *) usage; [ -z "$command" ] || exit 2 ;;
esac
`;
