#!/bin/sh
# Installs what the lab and the build need on Debian 12/13 or Ubuntu 24.04; what is there already is left alone.
# setup.sh --test adds what the kernel tests need. A second run takes less than a second.
set -eu

packages='ca-certificates curl libatomic1 procps netbase iproute2 iputils-ping nftables conntrack kmod
  wireguard-tools wireguard-go dnsmasq-base unbound bind9-dnsutils udhcpc socat tcpdump'
test_packages='qemu-system-x86 busybox-static xz-utils'

case $#:${1-} in
0:) ;;
1:--test) packages="$packages $test_packages" ;;
*)
  echo 'usage: scripts/setup.sh [--test]' >&2
  exit 2
  ;;
esac

cd -- "${0%/*}/.."
say() { printf 'setup: %s\n' "$*"; }

# What of the list is not installed, one call for all.
missing_packages() {
  # shellcheck disable=SC2086 # a list of words
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $packages 2>/dev/null || :)
  for package in $packages; do
    case "
$installed
" in
    *"
$package installed
"*) ;;
    *) printf '%s ' "$package" ;;
    esac
  done
  command -v npm >/dev/null || printf 'npm '
}

install_packages() {
  if [ "$(id -u)" -ne 0 ]; then
    say "these Debian packages are missing: $1- run this as root"
    exit 1
  fi
  say "installing Debian packages: $1"
  export DEBIAN_FRONTEND=noninteractive
  # unbound would start on port 53 of this machine: services stay off, and a policy that is already there is kept.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  apt-get update -q
  # shellcheck disable=SC2086 # a list of words
  apt-get install -y -q --no-install-recommends $1
  case " $1" in
  *' unbound '*)
    # It is ours for the lab: nor shall it start with the next boot.
    if command -v systemctl >/dev/null; then
      systemctl disable unbound.service unbound-resolvconf.service >/dev/null 2>&1 || :
    fi
    ;;
  esac
}

missing=$(missing_packages)
if [ -n "$missing" ]; then
  install_packages "$missing"
else
  say 'Debian packages: all there'
fi

lock=$(sha256sum <package-lock.json)
stamp=node_modules/.setup-lock
if [ "$(cat "$stamp" 2>/dev/null || :)" != "$lock" ]; then
  say 'installing npm packages'
  # Its warnings are about the Node that npm itself runs on; ours comes with the packages.
  npm ci --no-audit --no-fund --loglevel error
  printf '%s\n' "$lock" >"$stamp"
else
  say 'npm packages: unchanged'
fi

case $(uname -m) in
x86_64) architecture=x64 ;;
aarch64) architecture=arm64 ;;
*)
  say "there is no Node for $(uname -m)"
  exit 1
  ;;
esac
# Install scripts do not run here, so nobody else makes this link.
mkdir -p node_modules/.bin
ln -sfn "../node-linux-$architecture/bin/node" node_modules/.bin/node
version=$(node_modules/.bin/node --version)
say "Node $version is ready"
