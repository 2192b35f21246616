# Process 1 of the guest: runs the command with its output on virtio ports 1 and 2, reports on port 3, powers off.
b=/run/vm/busybox
$b ip link set lo up
$b hostname vm
ulimit -n 65536

# The ports appear when the driver is ready (vport0p1 or vport2p1: the order of devices decides); opening one too early
# would make an ordinary file.
tries=0
until [ -c "$(echo /dev/vport*p1)" ] && [ -c "$(echo /dev/vport*p2)" ] && [ -c "$(echo /dev/vport*p3)" ]; do
  [ $tries -lt 1000 ] || { echo 'no virtio ports' >/dev/console; $b poweroff -f; }
  $b usleep 10000
  tries=$((tries + 1))
done
control=$(echo /dev/vport*p3)

# A port can be opened once only. Writing waits for the host; reading would give end of file before it has come.
exec 3<>"$control"
$b awk '{ print "running", $1 }' /proc/uptime >&3
# End of file later on: vm.ts is gone, do not live on alone.
{ $b cat <&3 >/dev/null; $b poweroff -f; } &

# Pipes, because programs may open /dev/stdout again.
$b mkfifo /run/vm/stdout /run/vm/stderr
$b cat /run/vm/stdout >"${control%3}1" 3>&- &
stdout=$!
$b cat /run/vm/stderr >"${control%3}2" 3>&- &
stderr=$!
/bin/sh /run/vm/command.sh </dev/null >/run/vm/stdout 2>/run/vm/stderr 3>&- &
wait $!
status=$?

# A process left behind may hold the pipes open: 2 s, then off.
{ $b sleep 2; $b kill $stdout $stderr; } 2>/dev/null &
wait $stdout $stderr
echo "exit $status" >&3
$b poweroff -f
