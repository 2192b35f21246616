#!/bin/sh
# The lab's `resolvconf`: what wg-quick calls for DNS= lines; writes the host's private /etc/resolv.conf.
saved=/run/resolv.conf.before-$2
case $1 in
-a)
  [ -e "$saved" ] || cat /etc/resolv.conf >"$saved"
  # Written in place: the file is a mount point and cannot be replaced.
  cat >/etc/resolv.conf
  ;;
-d)
  [ ! -e "$saved" ] || { cat "$saved" >/etc/resolv.conf && rm "$saved"; }
  ;;
*) exit 0 ;;
esac
