# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2154
#
# What the tests of the network device share, on top of lib.sh: the vhost-user-net daemon, guests
# with a network, several at a time, and what they say.
#
# VDEV_NET  the vhost-user-net daemon (default: the build tree's)

it_net=${VDEV_NET:-$it_build/examples/vhost-user-net}
it_wrap=()	# in front of the daemon's command
declare -A guest_pids guest_peers

need_net()
{
	[ -x "$it_net" ] || skip_all "$it_net is not built"
	need "$@"
}

# --- our daemon --------------------------------------------------------------------------------

# net_start NAME ARGUMENT...: our network daemon
net_start()
{
	daemon_name=$1
	shift
	daemon_run "${it_wrap[@]}" "$it_net" "$@"
}

# net_stop: end it as a user does, and take its counters (net_stat)
net_stop()
{
	daemon_stop
}

# net_stat SOCKET KEY: a value from the last line of counters of this socket (its file's name)
net_stat()
{
	grep '"socket":"[^"]*'"$1"'"' "$daemon_name.json" | tail -n 1 |
		sed -n 's/.*"'"$2"'": *"\{0,1\}\([^",}]*\).*/\1/p'
}

# net_now SOCKET KEY: what a running daemon counts
net_now()
{
	local lines

	lines=$(wc -l < "$daemon_name.out")
	kill -USR1 "$daemon_pid" || die "the daemon is gone: $(cat "$daemon_name.err")"
	until_true 10 more_lines "$lines" || die "SIGUSR1 prints no counters"
	grep '^{.*}$' "$daemon_name.out" > "$daemon_name.json"
	net_stat "$1" "$2"
}

more_lines()
{
	[ "$(wc -l < "$daemon_name.out")" -gt "$1" ]
}

net_is()	# SOCKET KEY VALUE
{
	[ "$(net_now "$1" "$2")" = "$3" ]
}

# net_expect SOCKET KEY VALUE
net_expect()
{
	[ "$(net_stat "$1" "$2")" = "$3" ] ||
		die "the daemon counted $2=$(net_stat "$1" "$2") for $1, expected $3"
}

# net_least SOCKET KEY N
net_least()
{
	local value

	value=$(net_stat "$1" "$2")
	[ "${value:-0}" -ge "$3" ] || die "the daemon counted $2=$value for $1, expected at least $3"
}

# --- guests ------------------------------------------------------------------------------------

# net_qemu NAME SOCKET PAIRS DEVICE_OPTIONS [KERNEL_ARGUMENT...]: a Linux guest with a network device,
# see it_devices in lib.sh; it_reconnect=,reconnect=1 has it come back to a daemon that was killed.
net_qemu()
{
	local it_nics=("$3 $4 $2")

	net_qemu_nics "$1" "$3" "${@:5}"
}

# net_qemu_nics NAME CPUS [KERNEL_ARGUMENT...]: one with a device for each "PAIRS DEVICE_OPTIONS SOCKET"
# of it_nics; the Kth is its ethK.
# No MSI-X vectors: QEMU 7.2 under TCG crashes when a vhost-user network device unmasks one.
net_qemu_nics()
{
	local name=$1 cpus=$2 accel cpu=max nic pairs options socket nics=()
	shift 2

	read -r accel _ < "$it_cache/qemu/accel"
	[ "$accel" = kvm ] && cpu=host
	for nic in "${!it_nics[@]}"; do
		read -r pairs options socket <<< "${it_nics[nic]}"
		[ "$pairs" -eq 1 ] || options+=,mq=on
		nics+=(-chardev "socket,id=socket$nic,path=$socket${it_reconnect:-}"
			-netdev "vhost-user,id=net$nic,chardev=socket$nic,queues=$pairs"
			-device "virtio-net-pci,netdev=net$nic,vectors=0,romfile=$options")
	done
	: > "$name.out"
	qemu-system-x86_64 -M "q35,memory-backend=mem$it_machine" -accel "$accel" -cpu "$cpu" -smp "$cpus" -m 256 \
		-object memory-backend-memfd,id=mem,size=256M,share=on \
		-nodefaults -no-user-config -display none -no-reboot -serial "file:$name.out" \
		"${it_devices[@]}" "${nics[@]}" \
		-kernel "$it_cache/qemu/vmlinuz" -initrd "$it_cache/qemu/initramfs" \
		-append "console=ttyS0 quiet panic=-1 no_timer_check vd.mode=net $*" < /dev/null 2> "$name.err" &
	guest_new "$name" $! "Linux in QEMU"
}

# net_uml NAME SOCKET [KERNEL_ARGUMENT...]: a user-mode Linux guest
net_uml()
{
	local name=$1 socket=$2
	shift 2

	# its memory is a file in TMPDIR
	TMPDIR=$PWD "$it_cache/uml/linux.uml" mem=256M initrd="$it_cache/uml/initramfs" \
		"virtio_uml.device=$socket:1" con=null con0=null,fd:1 quiet panic=-1 vd.mode=net "$@" \
		< /dev/null > "$name.out" 2> "$name.err" &
	guest_new "$name" $! "user-mode Linux"
}

guest_new()	# NAME PID PEER
{
	guest_pids[$1]=$2
	guest_peers[$1]=$3
	it_pids+=("$2")
}

# guest NAME: from here on guest_said and the like mean this one
guest()
{
	guest_name=$1
	guest_pid=${guest_pids[$1]}
	guest_peer=${guest_peers[$1]}
}

# guest_nics NAME: what it said about each of its interfaces, for guest NAME.K
guest_nics()
{
	local nic

	awk -v name="$1" '/^VD nic /{out = name "." $3 ".vd"} out != "" {print > out}' "$1.vd"
	for nic in "$1".*.vd; do
		nic=${nic%.vd}
		guest_pids[$nic]=${guest_pids[$1]}
		guest_peers[$nic]=${guest_peers[$1]}
	done
}

# one_is_over: some guest, or the daemon, has ended
one_is_over()
{
	local name

	for name in "$@"; do
		is_gone "${guest_pids[$name]}" && return
	done
	is_gone "$daemon_pid"
}

# guests_wait NAME...: until all have powered off. One that fails makes the others wait in vain, so
# that whoever ends first is judged first.
guests_wait()
{
	local name left=("$@") still

	while [ ${#left[@]} -gt 0 ]; do
		until_true "$it_guest_limit" one_is_over "${left[@]}" ||
			die "hang: $(for name in "${left[@]}"; do
				echo "$name: $(tr -d '\r' < "$name.out" | grep -a '^VD' | tail -n 1);"; done)"
		still=()
		for name in "${left[@]}"; do
			guest "$name"
			if is_gone "$guest_pid" || is_gone "$daemon_pid"; then
				guest_wait
			else
				still+=("$name")
			fi
		done
		left=("${still[@]}")
	done
}

# --- judgement ---------------------------------------------------------------------------------

# fetched_right MIB [ADDRESS]: what the guest fetched has the checksum that the host computed
fetched_right()
{
	local sum

	sum=$(sed -n "s/^\\([0-9a-f]*\\)  $1\$/\\1/p" "$it_cache/payload/net.sha256")
	[ -n "$sum" ] || die "no checksum for $1 MiB is known"
	grep -q "^VD fetch from=${2:-.*} mib=$1 sha256=$sum " "$guest_name.vd" ||
		die "$guest_name fetched something else: $(grep '^VD fetch' "$guest_name.vd" | tail -n 1)"
}

# nothing_wrong: the guest's kernel saw no frame that it did not like
nothing_wrong()
{
	local key

	for key in rx_errors tx_errors rx_frame_errors rx_length_errors; do
		guest_expect counters $key 0
	done
	guest_expect wrong inet 0
	guest_expect wrong inet6 0
}

has_feature()	# BIT
{
	case ,$(guest_said net features), in
	*,"$1",*) return 0 ;;
	esac
	return 1
}

# exercised_net: what the guest has used, by what it negotiated
exercised_net()
{
	local bit words=("$(guest_said net ring)" net-frames vu-back-end)

	for bit in $(guest_said net features | tr , ' '); do
		case $bit in
		0) words+=(net-CSUM) ;;
		1) words+=(net-GUEST_CSUM) ;;
		2) words+=(net-CTRL_GUEST_OFFLOADS) ;;
		3) words+=(net-MTU) ;;
		5) words+=(net-MAC) ;;
		7 | 8) words+=(net-GUEST_TSO) ;;
		9) words+=(net-GUEST_ECN) ;;
		10) words+=(net-GUEST_UFO) ;;
		11 | 12) words+=(net-HOST_TSO) ;;
		13) words+=(net-HOST_ECN) ;;
		14) words+=(net-HOST_UFO) ;;
		15) words+=(net-MRG_RXBUF) ;;
		16) words+=(net-STATUS) ;;
		28) words+=(INDIRECT_DESC) ;;
		29) words+=(EVENT_IDX) ;;
		32) words+=(VERSION_1) ;;
		33) words+=(ACCESS_PLATFORM) ;;
		35) words+=(IN_ORDER) ;;
		63) words+=(net-SPEED_DUPLEX) ;;
		esac
	done
	[ "$(guest_said net queues)" -lt 2 ] || words+=(net-MQ)
	exercised "$guest_peer" "${words[@]}" "$@"
}

# pcap_fault FILE LEAST: what tcpdump finds wrong in a capture of at least so many frames, or nothing
pcap_fault()
{
	local frames

	tcpdump -nn -vv -r "$1" > "$1.txt" 2> "$1.err" || { echo "tcpdump: $(tail -n 1 "$1.err")"; return; }
	frames=$(tcpdump -nn -r "$1" 2>/dev/null | wc -l)
	[ "$frames" -ge "$2" ] || { echo "$frames frames in $1, expected at least $2"; return; }
	grep -Ei -m 1 'incorrect|bad (udp |hdr )?c(k)?sum|bad length|truncated|\[\|' "$1.txt"
}
