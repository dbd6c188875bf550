# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2154
#
# DPDK's testpmd for the tests, on top of lib.sh: start it as a driver (front) or as a back-end, give
# it commands, read its counters by telemetry. Several at a time, told apart by name.

declare -A pmd_pids pmd_prefixes pmd_inputs
pmd_prefix=vdevkit$$

# pmd_start NAME CORE VDEV PAIRS TESTPMD_OPTION...: a testpmd that forwards on processor CORE when told to
pmd_start()
{
	local name=$1 core=$2 vdev=$3 pairs=$4 input
	shift 4

	[ "$core" -lt "$(nproc)" ] || core=0
	pmd_prefixes[$name]=$pmd_prefix-$BASHPID-$name
	mkfifo "$name.in"
	stdbuf -oL dpdk-testpmd --lcores "0@$core,1@$core" --no-pci --no-huge --single-file-segments -m 192 \
		--file-prefix="${pmd_prefixes[$name]}" --vdev "$vdev" -- --interactive --nb-cores=1 \
		--rxq="$pairs" --txq="$pairs" --no-lsc-interrupt --total-num-mbufs=16384 "$@" \
		< "$name.in" > "$name.out" 2> "$name.err" &
	pmd_pids[$name]=$!
	it_pids+=($!)
	# it ends when its input does
	exec {input}> "$name.in"
	pmd_inputs[$name]=$input
	until_true 60 pmd_prompts "$name" || die "testpmd $name does not start"
	is_gone "${pmd_pids[$name]}" && die "testpmd $name: $(tail -n 3 "$name.out" "$name.err")"
	return 0
}

# pmd_prompts NAME: it takes commands, or has ended
pmd_prompts()
{
	grep -q '^testpmd>' "$1.out" || is_gone "${pmd_pids[$1]}"
}

# pmd_front NAME CORE SOCKET PAIRS OPTIONS TESTPMD_OPTION...: a driver; OPTIONS like ",packed_vq=1"
pmd_front()
{
	local name=$1 core=$2 socket=$3 pairs=$4 options=$5
	shift 5

	pmd_start "$name" "$core" "net_virtio_user0,path=$socket,queues=$pairs$options" "$pairs" "$@"
	until_true 20 pmd_is "$name" /ethdev/link_status,0 status UP || die "testpmd $name has no link"
}

# pmd_back NAME CORE SOCKET PAIRS TESTPMD_OPTION...: a back-end that listens
pmd_back()
{
	local name=$1 core=$2 socket=$3 pairs=$4
	shift 4

	pmd_start "$name" "$core" "net_vhost0,iface=$socket,queues=$pairs" "$pairs" "$@"
	until_true 20 listen_or_died "${pmd_pids[$name]}" "$socket" || die "testpmd makes no socket"
}

# pmd_tell NAME COMMAND
pmd_tell()
{
	echo "$2" >&"${pmd_inputs[$1]}" || die "testpmd $1 is gone"
}

# pmd_stop NAME: have it stop forwarding; returns when it has
pmd_stop()
{
	local before

	before=$(grep -c '^Done\.' "$1.out")
	pmd_tell "$1" stop
	until_true 30 pmd_said_done "$1" "$before" || die "testpmd $1 does not stop"
}

pmd_said_done()	# NAME TIMES_BEFORE
{
	[ "$(grep -c '^Done\.' "$1.out")" -gt "$2" ] || is_gone "${pmd_pids[$1]}"
}

# pmd_ask NAME COMMAND KEY: a value from its telemetry
pmd_ask()
{
	local base=/var/run/dpdk

	[ "$(id -u)" -eq 0 ] || base=${XDG_RUNTIME_DIR:-/tmp}/dpdk
	"$it_top/tests/interop/telemetry.py" "$base/${pmd_prefixes[$1]}/dpdk_telemetry.v2" "$2" \
		2> "$1.telemetry" | sed -n "s/^$3 //p"
}

pmd_is()	# NAME COMMAND KEY VALUE
{
	[ "$(pmd_ask "$1" "$2" "$3")" = "$4" ]
}

# pmd_count NAME COUNTER: ipackets, opackets, ibytes, ...
pmd_count()
{
	pmd_ask "$1" /ethdev/stats,0 "$2"
}

# pmd_least NAME COUNTER N: true when it has counted so many
pmd_least()
{
	[ "$(pmd_count "$1" "$2")" -ge "$3" ]
}

# pmd_end NAME: end it
pmd_end()
{
	pmd_tell "$1" quit
	until_true 30 is_gone "${pmd_pids[$1]}" || die "testpmd $1 does not end"
	wait "${pmd_pids[$1]}" || die "testpmd $1 ended with an error: $(tail -n 3 "$1.out" "$1.err")"
}

# pmd_clean: remove what ones that were killed keep for other programs; at the end of a test
pmd_clean()
{
	rm -rf /var/run/dpdk/"$pmd_prefix"-* "${XDG_RUNTIME_DIR:-/tmp}"/dpdk/"$pmd_prefix"-*
}
