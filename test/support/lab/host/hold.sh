#!/bin/sh
# Makes a lab host's private view of the machine and holds its namespaces until it is killed.
# Runs inside the host's new network, mount and UTS namespaces: hold.sh NAME FOLDER
set -eu
name=$1
folder=$2
cd /

printf '%s\n' "$name" >/proc/sys/kernel/hostname

# A private copy of another namespace's name would keep that namespace alive after `ip netns del`.
umount -R -l /run/netns 2>/dev/null || :
resolv=$(readlink -f /etc/resolv.conf || echo /etc/resolv.conf)
mount --bind "$folder/run" /run
# On some systems /etc/resolv.conf points into /run, which is empty now.
if [ ! -e "$resolv" ]; then
  mkdir -p "${resolv%/*}"
  : >"$resolv"
fi
mount --bind "$folder/resolv.conf" "$resolv"
mount --bind "$folder/wireguard" /etc/wireguard
for path in /etc/unbound /var/lib/unbound /var/lib/misc; do
  [ ! -d "$path" ] || mount --bind "$folder$path" "$path"
done
# /sys/class/net of the machine shows the machine's devices: this one shows the host's.
mount -t sysfs sysfs /sys
if [ -e "$folder/boot_id" ]; then
  mount --bind "$folder/boot_id" /proc/sys/kernel/random/boot_id
fi

v4=/proc/sys/net/ipv4
v6=/proc/sys/net/ipv6
for scope in all default; do
  echo 0 >$v4/conf/$scope/send_redirects
  echo 0 >$v4/conf/$scope/accept_redirects
  echo 0 >$v4/conf/$scope/rp_filter
  if [ -d $v6 ]; then
    # Duplicate address detection would keep every new address unusable for a second.
    echo 0 >$v6/conf/$scope/accept_dad
    echo 0 >$v6/conf/$scope/dad_transmits
  fi
done
# Where br_netfilter is built in, bridged frames would pass the forward chain, which they do not on the Pi.
for switch in /proc/sys/net/bridge/bridge-nf-call-*; do
  [ ! -e "$switch" ] || echo 0 >"$switch"
done
case $name in
hub)
  echo 1 >$v4/ip_forward
  echo 1 >$v4/ip_nonlocal_bind
  [ ! -d $v6 ] || echo 1 >$v6/ip_nonlocal_bind
  ;;
carrier) echo 1 >$v4/ip_forward ;;
esac
ip link set lo up

echo ready
exec sleep infinity
