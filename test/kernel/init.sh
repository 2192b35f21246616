#!/bin/busybox sh
# First program of the guest: loads modules and puts a RAM overlay over the host's read-only root.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r module; do
  $b insmod "/modules/$module.ko" || echo "cannot load $module"
done </modules/order

# cache=loose keeps what was read: the host's files are taken not to change during the run.
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=1048576,cache=loose host /host || exit 1
$b mount -t tmpfs -o size=75% layer /layer
$b mkdir /layer/upper /layer/work
$b mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work root /root || exit 1

$b mkdir -p /dev/pts /dev/shm
$b ln -s /proc/self/fd /dev/fd
$b ln -s /proc/self/fd/0 /dev/stdin
$b ln -s /proc/self/fd/1 /dev/stdout
$b ln -s /proc/self/fd/2 /dev/stderr
$b mount -t devpts -o mode=620,ptmxmode=666 pts /dev/pts
$b mount -t tmpfs shm /dev/shm
$b mount -t cgroup2 cgroup /sys/fs/cgroup
for folder in proc sys dev; do $b mount --move /$folder /root/$folder; done
$b mount -t tmpfs -o mode=755 run /root/run
$b mkdir /root/run/vm /root/run/lock
$b cp $b /job/main.sh /job/command.sh /root/run/vm/
# shellcheck disable=SC2154 # repository and out arrive from the kernel's command line
if [ -d "/host$repository/.vm/kernel/lib/modules" ]; then
  $b mkdir -p /root/lib/modules
  $b mount --bind "/host$repository/.vm/kernel/lib/modules" /root/lib/modules
fi
exec $b switch_root /root /run/vm/busybox sh /run/vm/main.sh
