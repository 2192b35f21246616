// What to paste on a machine to make it a server: a file, a cloud-init snippet, or a script that asks for the hub's answer.
import type { Address } from './address.ts';
import { type ClientFacts, clientConfig, privateKeyPlaceholder } from './client.ts';
import { firewallCommand } from './server-firewall.ts';

export const joinKinds = ['file', 'cloud-init', 'script'] as const;
export type JoinKind = (typeof joinKinds)[number];

export interface JoinFacts {
  /** Its preshared key is never known here: `to come`, or null for none. */
  readonly client: ClientFacts;
  /** `shop/web`: how the hub's commands name it. */
  readonly reference: string;
  readonly hubAddress: Address;
  /** The hub has the server already, and only gets its new key. */
  readonly enrolled: boolean;
  /** Brings the command along that closes the public ports. */
  readonly firewall: boolean;
}

/** The text for one kind of joining. Names and addresses in it were parsed, so nothing in them means anything to a shell. */
export function joinText(kind: JoinKind, facts: JoinFacts): string {
  switch (kind) {
    case 'file':
      return joinFile(facts);
    case 'cloud-init':
      return cloudInit(facts);
    case 'script':
      return joinScript(facts);
  }
}

/** What is typed at the hub once the key is there; the key follows. */
function enrolCommand({ reference, enrolled, client }: JoinFacts): string {
  const preshared = client.presharedKey === null ? ' --no-preshared-key' : '';
  return `apn servers ${enrolled ? 'rotate' : 'add'} ${reference}${preshared} --public-key`;
}

function joinFile(facts: JoinFacts): string {
  const { name } = facts.client;
  return `# /etc/wireguard/apn.conf of ${name}, with mode 0600. The key is made on the server:
#   umask 077; wg genkey | tee /etc/wireguard/apn.key | wg pubkey
# What is in apn.key goes below; what was printed goes to the hub:
#   ${enrolCommand(facts)} …
# Then, on the server: systemctl enable --now wg-quick@apn
${clientConfig(facts.client, privateKeyPlaceholder(name))}`;
}

/** For the user data of a new machine: cloud-init runs the script without asking anything. */
function cloudInit(facts: JoinFacts): string {
  const { name } = facts.client;
  const packages = facts.firewall ? 'wireguard-tools, nftables' : 'wireguard-tools';
  const indented = joinScript(facts).replace(/^(?=.)/gm, '      ');
  return `#cloud-config
# Makes this machine the server ${name}. It makes its own key and knocks at the hub, which lists
# it with the fingerprint that stands in /var/log/cloud-init-output.log: one click there enrols it.
packages: [${packages}]
write_files:
  - path: /usr/local/sbin/apn-join
    permissions: '0700'
    content: |
${indented}runcmd:
  - [sh, /usr/local/sbin/apn-join, --unattended]
`;
}

/** POSIX sh. It can be run again: the key stays, and the file is written anew. */
function joinScript(facts: JoinFacts): string {
  const { client, hubAddress, firewall } = facts;
  return `#!/bin/sh
# Makes this machine the server ${client.name}. Run it there as root: sh apn-join
# The private key is made here and stays here. --unattended asks nothing and waits for nothing.
set -eu
umask 077

name='${client.name}'
address='${client.address}'
endpoint='${client.endpoint ?? ''}'
hub='${hubAddress}'
enrol='${enrolCommand(facts)}'
seconds=\${APN_WAIT:-600}
folder=/etc/wireguard
psk=

say() { printf '%s\\n' "$*"; }
fail() {
  printf 'apn-join: %s\\n' "$*" >&2
  exit 1
}

# The file as the hub knows it; what is still missing is put in by complete.
template() {
  cat <<'END'
${clientConfig({ ...client, presharedKey: 'HERE' }, 'HERE')}END
}

complete() {
  template | while IFS= read -r line; do
    case $line in
      PrivateKey*) printf 'PrivateKey = %s\\n' "$key" ;;
      Address*) printf 'Address = %s/32\\n' "$address" ;;
      PresharedKey*) [ -z "$psk" ] || printf 'PresharedKey = %s\\n' "$psk" ;;
      DNS*) if command -v resolvconf >/dev/null; then say "$line"; fi ;;
      *) say "$line" ;;
    esac
  done
}

# The address that the hub will see, as an option; nothing behind a NAT.
source_option() {
  host=\${endpoint%:*}
  host=\${host#[}
  host=$(getent ahosts "\${host%]}" | { read -r first _ || :; say "$first"; })
  own=$(ip -o route get "$host" 2>/dev/null | sed -n 's/.* src \\([^ ]*\\).*/\\1/p')
  case $own in
    '' | 10.* | 192.168.* | 172.1[6-9].* | 172.2?.* | 172.3[01].* | 169.254.* | 100.6[4-9].* | 100.[7-9]?.* | 100.1[01]?.* | 100.12[0-7].* | f[cde]*) ;;
    *) say " --source $own" ;;
  esac
}

ask() {
  say "1. On the hub, type:"
  say ""
  say "   $enrol $public$(source_option)"
  say ""
  say "2. Paste the answer line it prints, and press Enter. Enter alone: the hub lists this key by"
  say "   the fingerprint $(fingerprint), and one click there enrols it."
  until understood; do say "This is no answer of the hub: it is an address, and mostly a key after it. Once more."; done
}

# One line, from the terminal where this script itself comes from standard input.
understood() {
  printf 'Answer: '
  if ! read -r one two rest && [ -z "$one" ]; then
    say ""
    if [ ! -t 0 ] && [ -r /dev/tty ] && (: </dev/tty) 2>/dev/null; then read -r one two rest </dev/tty || :; fi
    [ -n "$one" ] || return 0
  fi
  [ -n "$one" ] || return 0
  case $one in *[!0-9.]* | *.*.*.*.* | [!0-9]*) return 1 ;; *.*.*.*) ;; *) return 1 ;; esac
  if [ -n "$rest" ]; then return 1; fi
  # It takes any key, and refuses what is none.
  if [ -n "$two" ] && ! printf '%s\\n' "$two" | wg pubkey >/dev/null 2>&1; then return 1; fi
  address=$one
  psk=$two
}

# As the hub's list shows it.
fingerprint() { printf '%s' "$public" | base64 -d | sha256sum | cut -c 1-16; }

start() {
  if [ -d /run/systemd/system ]; then
    systemctl enable --quiet wg-quick@apn
    systemctl restart wg-quick@apn
    return
  fi
  if ip link show dev apn >/dev/null 2>&1; then wg-quick down apn; fi
  wg-quick up apn
  say "There is no systemd here: at the start of the machine, run wg-quick up apn."
}

handshake() { wg show apn latest-handshakes | while read -r _ at; do say "$at"; done; }

await() {
  say "Waiting for the hub at $endpoint …"
  end=$(($(date +%s) + seconds))
  while [ "$(handshake)" = 0 ]; do
    if [ "$(date +%s)" -ge "$end" ]; then
      say "No answer within $seconds s. The tunnel stays up and goes on trying. See at the hub:"
      say "  apn servers ls      is $name there, with the key $public?"
      say "  apn rule ls         may the address that this server comes from knock at all?"
      say "And UDP must be free on the way to $endpoint."
      exit 1
    fi
    # Something to send makes it try.
    ping -n -q -c 1 -W 1 "$hub" >/dev/null 2>&1 || sleep 1
  done
  say "Connected: this is $name, $address."
}
${firewall ? `\n${installFirewall()}` : ''}
main() {
  [ "$(id -u)" = 0 ] || fail "run it as root."
  for tool in wg wg-quick ip${firewall ? ' nft ss' : ''}; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install wireguard-tools iproute2${firewall ? ' nftables' : ''}"
  done
${client.dns === null ? '' : '  command -v resolvconf >/dev/null || say "There is no resolvconf here: this server will not know the names of the APN."\n'}  mkdir -p "$folder"
  if [ ! -s "$folder/apn.key" ]; then
    wg genkey >"$folder/apn.key.new"
    mv "$folder/apn.key.new" "$folder/apn.key"
  fi
  key=$(cat "$folder/apn.key")
  public=$(printf '%s\\n' "$key" | wg pubkey)
  say "The public key of this server: $public"
  say "Its fingerprint: $(fingerprint)"
  [ "$unattended" = yes ] || ask
  complete >"$folder/apn.conf.new"
  mv "$folder/apn.conf.new" "$folder/apn.conf"
${firewall ? '  install_firewall\n' : ''}  start
  [ "$unattended" = yes ] || await
${firewall ? '  say "To close the public ports, log in through the APN (ssh $address) and type there: apn-firewall close"\n' : ''}}

case \${1:-} in
  '') unattended=no ;;
  --unattended) unattended=yes ;;
  *) fail "it takes --unattended or nothing." ;;
esac
main
`;
}

function installFirewall(): string {
  return `install_firewall() {
  cat >/usr/local/sbin/apn-firewall.new <<'END-OF-FIREWALL'
${firewallCommand}END-OF-FIREWALL
  chmod 0755 /usr/local/sbin/apn-firewall.new
  mv /usr/local/sbin/apn-firewall.new /usr/local/sbin/apn-firewall
}
`;
}
