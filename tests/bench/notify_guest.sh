#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The first process of a guest of tests/bench/notify: brings its network device up, then serves, or
# sends in the ways that are measured, and says where it is in lines "VD ...".
# Kernel arguments: vd.ip=N, vd.ms=MILLISECONDS of each way, vd.coalesce=1.

export PATH=/bin
busybox mkdir -p /proc /sys /tmp
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev 2>/dev/null

over()
{
	echo "VD over $*"
	poweroff -f
	sleep 60
}

argument()	# NAME DEFAULT
{
	for word in $(cat /proc/cmdline); do
		case $word in
		"$1"=*) echo "${word#*=}"; return ;;
		esac
	done
	echo "$2"
}

for module in $(cat /modules/net-order); do
	insmod "/modules/$module" || over "insmod $module"
done
ip link set lo up
waited=0
until [ -e /sys/class/net/eth0 ]; do
	waited=$((waited + 1))
	[ $waited -lt 100 ] || over "no network device"
	sleep 0.1
done
if [ "$(argument vd.coalesce 0)" = 1 ]; then
	ethtool -C eth0 rx-usecs 100 rx-frames 32 tx-usecs 100 tx-frames 32 || over "ethtool -C"
fi
ip addr add "10.9.0.$(argument vd.ip 1)/24" dev eth0 || over "ip addr"
ip link set eth0 up || over "ip link"
echo "VD features=$(cat /sys/class/net/eth0/device/features)"

if [ "$(argument vd.ip 1)" = 2 ]; then
	/notify-traffic serve || over "serve"
	over "ok"
fi
ms=$(argument vd.ms 1000)
/notify-traffic await 10.9.0.2 60000 || over "nobody answers"
for way in answer udp:1 udp:8 udp:32 tcp; do
	/notify-traffic "${way%%:*}" 10.9.0.2 "$ms" "${way#*:}" || over "$way"
done
over "ok"
