# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# What a test guest does with a virtio network device (init sources this): the steps that the
# kernel argument vd.steps=STEP[,STEP...] names, in that order; a step is a function step_NAME, and
# words behind it are separated by colons. Host number vd.ip=N has the addresses 10.9.K.N and
# fd09:K::N at its interface ethK; vd.peer=M is the other one. Steps are about eth0 until step_nic
# names another.

# wait_up NAME: until the interface is there and has a link
wait_up()
{
	waited=0
	until [ "$(cat "/sys/class/net/$1/carrier" 2>/dev/null)" = 1 ]; do
		waited=$((waited + 1))
		[ $waited -lt 300 ] || fail "$1 has no link"
		[ ! -e "/sys/class/net/$1" ] || ip link set "$1" up
		sleep 0.1
	done
}

# eth_counter NAME: one of the interface's statistics
eth_counter()
{
	cat "/sys/class/net/eth$net_k/statistics/$1"
}

# step_nic:K: what follows, here and in the report, is about interface ethK
step_nic()
{
	net_k=$1
	say "nic $net_k"
}

net_bits()	# the features that were negotiated, as numbers
{
	sed 's/./&\n/g' "/sys/class/net/$1/device/features" |
		awk '$0 == "1" {printf "%s%d", s, NR - 1; s = ","}'
}

# step_up: load the modules, give the interface its addresses, report what was negotiated
step_up()
{
	eth=eth$net_k
	[ -e /sys/module/virtio_net ] || for module in $(cat /modules/net-order); do
		insmod "/modules/$module" || fail "insmod $module"
	done
	ip link set lo up
	waited=0
	until [ -e "/sys/class/net/$eth" ]; do
		waited=$((waited + 1))
		[ $waited -lt 100 ] || fail "no virtio network device appeared"
		sleep 0.1
	done
	# what is tested is not whether somebody else has the same address
	echo 0 > "/proc/sys/net/ipv6/conf/$eth/accept_dad"
	ip addr add "10.9.$net_k.$net_ip/24" dev "$eth" || fail "ip addr"
	wait_up "$eth"
	ip -6 addr add "fd09:$net_k::$net_ip/64" dev "$eth" || fail "ip -6 addr"
	bits=$(net_bits "$eth")
	case ,$bits, in
	*,34,*) ring=packed ;;
	*) ring=split ;;
	esac
	say "net ring=$ring queues=$(find "/sys/class/net/$eth/queues/" -name 'rx-*' | wc -l)" \
		"mtu=$(cat "/sys/class/net/$eth/mtu") mac=$(cat "/sys/class/net/$eth/address")" \
		"features=$bits"
}

# step_peer: until the other one answers, for it may start later or have more to do before
step_peer()
{
	waited=0
	until ping -c 1 -W 1 "10.9.$net_k.$net_peer" > /tmp/ping 2>&1; do
		waited=$((waited + 1))
		[ $waited -lt 180 ] || { cat /tmp/ping; fail "10.9.$net_k.$net_peer does not answer"; }
	done
}

# step_ping[:SIZE[:COUNT]]: not one may get lost; also longer ones than a frame
step_ping()
{
	for address in "10.9.$net_k.$net_peer" "fd09:$net_k::$net_peer"; do
		ping -c "${2:-5}" -A -W 5 -s "${1:-56}" "$address" > /tmp/ping 2>&1 ||
			{ cat /tmp/ping; fail "ping $address"; }
		say "ping address=$address size=${1:-56}" \
			"$(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) .*/sent=\1 received=\2/p' /tmp/ping)"
	done
}

# step_serve:MIB...: serve as many MiB as a file each
step_serve()
{
	mkdir -p /www/cgi-bin
	for mib in "$@"; do
		[ -e "/www/$mib" ] || payload_file /payload "$mib" "/www/$mib" || fail "no room for $mib MiB"
	done
	printf '#!/bin/sh\n: > /tmp/over\nprintf "Content-type: text/plain\\r\\n\\r\\nbye\\n"\n' \
		> /www/cgi-bin/over
	chmod 755 /www/cgi-bin/over
	httpd -p 80 -h /www || fail "httpd"
}

# fetch URL FILE: the other one's server may not be there yet, or the daemon between is just gone
fetch()
{
	waited=0
	until wget -q -O "$2" "$1" 2>/tmp/wget; do
		waited=$((waited + 1))
		[ $waited -lt 60 ] || { cat /tmp/wget; return 1; }
		sleep 0.5
	done
}

fetch_from()	# ADDRESS MIB
{
	say "fetching from=$1 mib=$2"
	t0=$(uptime_cs)
	# (by way of a file, for a pipe takes longer than all the rest)
	sum=$(fetch "http://$1/$2" /tmp/fetched && sha256sum < /tmp/fetched)
	rm -f /tmp/fetched
	say "fetch from=$1 mib=$2 sha256=${sum%% *} cs=$(($(uptime_cs) - t0))"
}

# step_fetch4:MIB and step_fetch6:MIB: the other one's file
step_fetch4()
{
	fetch_from "10.9.$net_k.$net_peer" "$1"
}

step_fetch6()
{
	fetch_from "[fd09:$net_k::$net_peer]" "$1"
}

# step_over: tell the other one, and go on when it has told too
step_over()
{
	fetch "http://10.9.$net_k.$net_peer/cgi-bin/over" /tmp/bye || fail "the other one is gone"
	waited=0
	until [ -e /tmp/over ]; do
		waited=$((waited + 1))
		[ $waited -lt 1800 ] || fail "the other one does not come to its end"
		sleep 0.1
	done
	sleep 0.5	# my last answer has yet to get there
}

# step_counters: what the kernel has counted, and what it found wrong
step_counters()
{
	say "counters rx_packets=$(eth_counter rx_packets) tx_packets=$(eth_counter tx_packets)" \
		"rx_bytes=$(eth_counter rx_bytes) tx_bytes=$(eth_counter tx_bytes)" \
		"rx_errors=$(eth_counter rx_errors) tx_errors=$(eth_counter tx_errors)" \
		"rx_frame_errors=$(eth_counter rx_frame_errors)" \
		"rx_length_errors=$(eth_counter rx_length_errors)"
	# lines of names and values in turn; and for version 6 a name and a value each. (TCP's InErrs also
	# counts a SYN that was sent again because the machine is slow.)
	say "wrong $(awk '
		/InCsumErrors|InHdrErrors/ {split($0, names); getline
			for (i = 2; i <= NF; i++) if (names[i] ~ /InCsumErrors|InHdrErrors/) n += $i}
		END {print "inet=" n + 0}' /proc/net/snmp)" \
		"$(awk '/InCsumErrors|InHdrErrors/ {n += $2} END {print "inet6=" n + 0}' /proc/net/snmp6)"
	say "interrupts all=$(awk '/virtio/ {for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i} END {print n + 0}' \
		/proc/interrupts)"
	bad=$(dmesg | grep -E 'virtio_net.*(bad|bogus|error)|hw csum failure|NETDEV WATCHDOG|WARNING:')
	[ -z "$bad" ] || { echo "$bad"; fail "the kernel complains about the network device"; }
}

# --- what a driver asks of the device by its control queue -------------------------------------

# asks NAME COMMAND...: one that changes something
asks()
{
	word=$1
	shift
	"$@" > /tmp/asked 2>&1 || { cat /tmp/asked; fail "$*"; }
	say "asked $word=ok"
}

# queue_packets N: frames that receive queue N has had
queue_packets()
{
	ethtool -S eth0 | sed -n "s/^ *rx_queue_$1_packets: //p"
}

# step_offloads: switch off that the device puts segments together, and on again
step_offloads()
{
	ethtool -k eth0 | sed -n 's/^\([a-z0-9-]*\): \(on\|off\)$/\1=\2/p' | while read -r word; do
		case $word in
		rx-checksumming* | tx-checksumming* | tcp-segmentation-offload* | rx-gro-hw*)
			say "offload $word" ;;
		esac
	done
	asks gro_hw_off ethtool -K eth0 rx-gro-hw off
	step_ping
	asks gro_hw_on ethtool -K eth0 rx-gro-hw on
}

# step_channels:N: queue pairs in use
step_channels()
{
	asks "channels_$1" ethtool -L eth0 combined "$1"
	say "channels combined=$(ethtool -l eth0 | awk '/^Combined:/ {n = $2} END {print n}')"
}

# step_steer: a table that leads all to queue 1, another key, other fields; what is pinged comes there
step_steer()
{
	asks table ethtool -X eth0 weight 0 1
	asks key ethtool -X eth0 hkey "$(seq -s : 10 49)"
	asks fields ethtool -N eth0 rx-flow-hash tcp4 sdfn
	asks hash_report ethtool -K eth0 rxhash on
	n0=$(queue_packets 0) n1=$(queue_packets 1)
	step_ping 56 20
	say "steered queue_0=$(($(queue_packets 0) - n0)) queue_1=$(($(queue_packets 1) - n1))" \
		"entries=$(ethtool -x eth0 | awk '/^ *[0-9]+:/ {for (i = 2; i <= NF; i++) n += $i == 1} END {print n + 0}')"
	asks table_back ethtool -X eth0 weight 1 0
	n0=$(queue_packets 0) n1=$(queue_packets 1)
	step_ping
	say "steered_back queue_0=$(($(queue_packets 0) - n0)) queue_1=$(($(queue_packets 1) - n1))"
}

# step_coalesce: few notifications, and the usual ones again
step_coalesce()
{
	asks coalesce ethtool -C eth0 rx-usecs 2000 rx-frames 16 tx-usecs 2000 tx-frames 16
	step_ping
	say "coalesced $(ethtool -c eth0 | sed -n 's/^\(rx-usecs\|rx-frames\|tx-usecs\|tx-frames\):[^0-9]*\([0-9]*\)$/\1=\2/p' | tr '\n' ' ')"
	asks uncoalesce ethtool -C eth0 rx-usecs 0 rx-frames 1 tx-usecs 0 tx-frames 1
}

# step_filters: everything, all groups, one group
step_filters()
{
	asks promisc ip link set eth0 promisc on
	asks no_promisc ip link set eth0 promisc off
	asks allmulti ifconfig eth0 allmulti
	asks no_allmulti ifconfig eth0 -allmulti
}

# step_vlan:ID: an interface of this VLAN, with addresses of its own
step_vlan()
{
	asks "vlan_$1" ip link add link eth0 name "eth0.$1" type vlan id "$1"
	ip addr add "10.9.$1.$net_ip/24" dev "eth0.$1" && ip link set "eth0.$1" up ||
		fail "eth0.$1 does not come up"
}

# step_also:ID: an address in VLAN ID's network on eth0 itself, for whom the switch puts the tag on
step_also()
{
	ip addr add "10.9.$1.$net_ip/24" dev eth0 || fail "ip addr"
}

# step_ping_vlan:ID: the other one there, once it is
step_ping_vlan()
{
	waited=0
	until ping -c 1 -W 1 "10.9.$1.$net_peer" > /tmp/ping 2>&1; do
		waited=$((waited + 1))
		[ $waited -lt 60 ] || { cat /tmp/ping; fail "10.9.$1.$net_peer does not answer"; }
	done
	ping -c 3 -A -W 10 "10.9.$1.$net_peer" > /tmp/ping 2>&1 || { cat /tmp/ping; fail "ping in VLAN $1"; }
	say "ping vlan=$1"
}

# step_lost_vlan:ID: the other one is not in this VLAN, so nobody answers
step_lost_vlan()
{
	! ping -c 2 -W 1 "10.9.$1.$net_peer" > /tmp/ping 2>&1 || fail "somebody answers in VLAN $1"
}

# step_address:MAC: another address of the device
step_address()
{
	asks address ip link set eth0 address "$(echo "$1" | tr . :)"
	say "address mac=$(cat /sys/class/net/eth0/address)"
}

# --- for others --------------------------------------------------------------------------------

# step_share: a directory of the host (vd.share, user-mode Linux only) in the place of what is served
step_share()
{
	mkdir -p /www && mount -t hostfs -o "$(argument vd.share /)" none /www || fail "no hostfs"
}

# step_stay: until a file "over" appears in the directory that is shared
step_stay()
{
	say "staying"
	until [ -e /www/over ]; do
		sleep 0.2
	done
}

# step_boot_server: addresses and, by HTTP, the shared directory for computers that boot from here
step_boot_server()
{
	cat > /tmp/udhcpd.conf <<-end
		start 10.9.0.20
		end 10.9.0.30
		interface eth0
		lease_file /tmp/leases
		siaddr 10.9.0.$net_ip
		boot_file http://10.9.0.$net_ip/boot.ipxe
		option subnet 255.255.255.0
		option lease 3600
	end
	: > /tmp/leases
	udhcpd /tmp/udhcpd.conf || fail "udhcpd"
	httpd -p 80 -h /www || fail "httpd"
}

# step_link_lost: until the device says that its link is down
step_link_lost()
{
	waited=0
	while [ "$(cat "/sys/class/net/eth$net_k/carrier")" = 1 ]; do
		waited=$((waited + 1))
		[ $waited -lt 600 ] || fail "the link is still there"
		sleep 0.1
	done
	say "link lost"
}

net_main()
{
	net_ip=$(argument vd.ip 1)
	net_peer=$(argument vd.peer 2)
	net_k=0
	for step in $(argument vd.steps up | tr , ' '); do
		# shellcheck disable=SC2046
		set -- $(echo "$step" | tr : ' ')
		name=step_$1
		shift
		"$name" "$@"
	done
}
