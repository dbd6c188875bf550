# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the tests with real guests and scripts/demo share: start and stop our daemon, run a guest
# on its socket, judge what guest, daemon and image say. Cases run in subshells of their own, two
# at a time, and every process is ended by its pid.
#
# VDEV_BUILD  build tree (default: build/ in the source tree)
# VDEV_BLK    the vhost-user-blk daemon (default: the build tree's)
# VDEVKIT_PARALLEL  cases at a time (2)
# VDEVKIT_GUEST_LIMIT  seconds until a guest counts as hanging (90): more on a slow or busy machine
# VDEV_KEEP   if set, the working directory stays for a look at its logs

it_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
it_build=${VDEV_BUILD:-$it_top/build}
it_blk=${VDEV_BLK:-$it_build/examples/vhost-user-blk}
it_cache=${XDG_CACHE_HOME:-$HOME/.cache}/vdevkit
it_parallel=${VDEVKIT_PARALLEL:-2}
it_image_mib=256
it_machine=
it_devices=()
it_guest_limit=${VDEVKIT_GUEST_LIMIT:-90}	# seconds until a guest counts as hanging
PATH=$PATH:/usr/sbin:/sbin

# it_scratch: a new working directory, in memory where that has room: a throttled disk's fsync
# would dominate every run
it_scratch()
{
	local base=${TMPDIR:-/tmp} free

	free=$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)
	[ "${free:-0}" -gt 1500 ] && [ -w /dev/shm ] && base=/dev/shm
	mktemp -d "$base/vdevkit.XXXXXX"
}

it_begin()
{
	it_dir=$(it_scratch) || exit 1
	it_count=0
	it_failed=0
	it_pids=()
	trap it_end EXIT
	trap 'exit 130' INT TERM HUP
}

it_end()
{
	local pid

	for pid in "${it_pids[@]}"; do
		kill "$pid" 2>/dev/null && wait "$pid"
	done
	if [ -n "${VDEV_KEEP:-}" ]; then
		echo "# working directory kept: $it_dir"
	else
		rm -rf "$it_dir"
	fi
}

# --- TAP ---------------------------------------------------------------------------------------

# skip_all REASON: the whole test is one skipped case
skip_all()
{
	echo "ok 1 - $(basename "$0" .test) # SKIP $*"
	echo "1..1"
	exit 0
}

# need qemu|uml|daemon|FILE...: skip the whole test where one is missing
need()
{
	local what

	for what in "$@"; do
		case $what in
		daemon)
			[ -x "$it_blk" ] || skip_all "$it_blk is not built"
			;;
		qemu | uml)
			[ -e "$it_cache/$what/initramfs" ] || skip_all \
				"no $what guest: $(cat "$it_cache/$what.missing" 2>/dev/null ||
					echo 'run scripts/peers')"
			;;
		*)
			command -v "$what" >/dev/null || skip_all "$what is not installed"
			;;
		esac
	done
}

# result STATUS NAME [LOG]: one TAP line; what LOG holds follows as diagnostics
result()
{
	it_count=$((it_count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $it_count - $2"
	else
		echo "not ok $it_count - $2"
		it_failed=$((it_failed + 1))
	fi
	[ ! -s "${3:-}" ] || sed 's/^/# /' "$3"
}

# skip REASON: cases that can't run here
skip()
{
	it_count=$((it_count + 1))
	echo "ok $it_count - ${1%% *} # SKIP $1"
}

# done_testing: the plan, last; the exit status tells too
done_testing()
{
	echo "1..$it_count"
	[ "$it_failed" -eq 0 ]
	exit
}

# run_cases FUNCTION...: each in a subshell and directory of its own; its name is the function's
run_cases()
{
	local name pid running=()

	for name in "$@"; do
		if [ "${#running[@]}" -ge "$it_parallel" ]; then
			wait -n "${running[@]}"
			local still=()
			for pid in "${running[@]}"; do
				kill -0 "$pid" 2>/dev/null && still+=("$pid")
			done
			running=("${still[@]}")
		fi
		mkdir "$it_dir/$name"
		(case_main "$name") > "$it_dir/$name/case.log" 2>&1 &
		running+=($!)
		it_pids+=($!)
	done
	wait "${it_pids[@]}"
	it_pids=()
	for name in "$@"; do
		[ -e "$it_dir/$name/passed" ]
		result $? "${name//_/ }" "$it_dir/$name/case.log"
	done
}

case_main()
{
	it_pids=()
	case_dir=$it_dir/$1
	trap case_end EXIT
	trap 'exit 130' INT TERM HUP
	cd "$case_dir" || exit 1
	"$1"
	: > "$case_dir/passed"
}

case_end()
{
	local pid

	for pid in "${it_pids[@]}"; do
		# user-mode Linux leads a group: its processes outlive it
		kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	[ -e "$case_dir/passed" ] || tail -n 15 "$case_dir"/*.out "$case_dir"/*.err 2>/dev/null
	[ -n "${VDEV_KEEP:-}" ] || rm -f "$case_dir"/*.img
}

# exercised PEER FEATURE...: what an independent program used, in the words of features.tsv; counts when
# the case passes (scripts/peers-table)
exercised()
{
	local peer=$1
	shift

	echo "exercised: $peer: $*"
}

# die REASON: the case fails
die()
{
	echo "FAIL: $*"
	exit 1
}

# until_true SECONDS COMMAND...: poll until it succeeds
until_true()
{
	local end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift

	until "$@"; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$end" ] || return 1
		sleep 0.05
	done
}

is_gone()
{
	! kill -0 "$1" 2>/dev/null
}

# --- our daemon --------------------------------------------------------------------------------

# new_image FILE [MIB]
new_image()
{
	truncate -s "${2:-$it_image_mib}M" "$1"
}

listen_or_died()	# PID SOCKET...
{
	local pid=$1 socket
	shift

	is_gone "$pid" && return
	for socket in "$@"; do
		[ -S "$socket" ] || return 1
	done
}

# daemon_run COMMAND...: one of our daemons as daemon_name in the working directory, until all that
# is named by --socket is there; sets daemon_pid
daemon_run()
{
	local word after='' sockets=()

	for word in "$@"; do
		[ "$after" != --socket ] || sockets+=("$word")
		after=$word
	done
	"$@" > "$daemon_name.out" 2> "$daemon_name.err" < /dev/null &
	daemon_pid=$!
	it_pids+=("$daemon_pid")
	until_true 20 listen_or_died "$daemon_pid" "${sockets[@]}" || die "the daemon makes no socket"
	if is_gone "$daemon_pid"; then
		die "the daemon ended early: $(cat "$daemon_name.err")"
	fi
}

# daemon_start NAME ARGUMENT...: our disk daemon on NAME.sock
daemon_start()
{
	daemon_name=$1
	shift
	daemon_run "$it_blk" --socket "$PWD/$daemon_name.sock" "$@"
}

# daemon_stop: end a daemon as a user does, and take its counters (stat_of)
daemon_stop()
{
	local status

	kill -TERM "$daemon_pid" || die "the daemon is gone before its time: $(cat "$daemon_name.err")"
	until_true 20 is_gone "$daemon_pid" || die "the daemon does not end after SIGTERM"
	wait "$daemon_pid"
	status=$?
	[ $status -eq 0 ] || die "the daemon ended with status $status: $(cat "$daemon_name.err")"
	grep '^{.*}$' "$daemon_name.out" > "$daemon_name.json"
	[ -s "$daemon_name.json" ] || die "the daemon printed no counters"
}

# stat_of KEY: a value from the counters of the daemon that was stopped last
stat_of()
{
	tail -n 1 "$daemon_name.json" | sed -n 's/.*"'"$1"'": *"\{0,1\}\([^",}]*\).*/\1/p'
}

# stat_least KEY N
stat_least()
{
	local value

	value=$(stat_of "$1")
	[ "${value:-0}" -ge "$2" ] ||
		die "the daemon counted $1=$value, expected at least $2"
}

# --- guests ------------------------------------------------------------------------------------

# qemu_start NAME SOCKET CPUS DEVICE_OPTIONS [KERNEL_ARGUMENT...]: a Linux guest whose report goes
# to NAME.out; DEVICE_OPTIONS as in ",packed=on"; it_machine and it_devices hold what a test wants
# of QEMU besides; sets guest_pid
qemu_start()
{
	local name=$1 socket=$2 cpus=$3 options=$4 accel cpu=max
	shift 4

	read -r accel _ < "$it_cache/qemu/accel"
	[ "$accel" = kvm ] && cpu=host
	guest_name=$name guest_peer="Linux in QEMU"
	: > "$name.out"
	qemu-system-x86_64 -M "q35,memory-backend=mem$it_machine" -accel "$accel" -cpu "$cpu" -smp "$cpus" -m 256 \
		-object memory-backend-memfd,id=mem,size=256M,share=on \
		-nodefaults -no-user-config -display none -no-reboot -serial "file:$name.out" \
		"${it_devices[@]}" -chardev "socket,id=disk,path=$socket" \
		-device "vhost-user-blk-pci,chardev=disk,num-queues=$cpus$options" \
		-kernel "$it_cache/qemu/vmlinuz" -initrd "$it_cache/qemu/initramfs" \
		-append "console=ttyS0 quiet panic=-1 no_timer_check vd.jobs=$cpus $*" < /dev/null 2> "$name.err" &
	guest_pid=$!
	it_pids+=("$guest_pid")
}

# uml_start NAME SOCKET [KERNEL_ARGUMENT...]: a user-mode Linux guest
uml_start()
{
	local name=$1 socket=$2
	shift 2

	guest_name=$name guest_peer="user-mode Linux"
	# its memory is a file in TMPDIR
	TMPDIR=$PWD "$it_cache/uml/linux.uml" mem=192M initrd="$it_cache/uml/initramfs" \
		"virtio_uml.device=$socket:2" con=null con0=null,fd:1 quiet panic=-1 "$@" \
		< /dev/null > "$name.out" 2> "$name.err" &
	guest_pid=$!
	it_pids+=("$guest_pid")
}

# guest_over [COMMAND...]: the guest has ended, or won't because its disk is gone
guest_over()
{
	"$@"
	is_gone "$guest_pid" || is_gone "$daemon_pid"
}

# guest_wait [COMMAND...]: until the guest that was started last has powered off; COMMAND is called
# now and then meanwhile
guest_wait()
{
	until_true "$it_guest_limit" guest_over "$@" ||
		die "$guest_name hangs: $(grep -a '^VD' "$guest_name.out" | tail -n 1)"
	until_true 5 is_gone "$guest_pid" ||
		die "the daemon died under $guest_name: $(tail -n 1 "$daemon_name.err")"
	"$@"
	wait "$guest_pid"
	# a serial line ends its lines with CR too
	tr -d '\r' < "$guest_name.out" | grep -a '^VD' > "$guest_name.vd"
	[ -s "$guest_name.vd" ] || die "$guest_name did not start: $(tail -n 1 "$guest_name.err")"
	[ "$(tail -n 1 "$guest_name.vd")" = "VD done ok" ] ||
		die "$guest_name: $(tail -n 1 "$guest_name.vd" | sed 's/^VD done FAIL //')"
}

# guest_said WORD KEY: value of KEY in the guest's report line WORD
guest_said()
{
	sed -n "s/^VD $1 .*\\b$2=\\([^ ]*\\).*/\\1/p" "$guest_name.vd" | tail -n 1
}

# guest_expect WORD KEY VALUE
guest_expect()
{
	[ "$(guest_said "$1" "$2")" = "$3" ] ||
		die "$guest_name: $1: $2 is \"$(guest_said "$1" "$2")\", expected \"$3\""
}

# guest_least WORD KEY N
guest_least()
{
	local value

	value=$(guest_said "$1" "$2")
	[ "${value:-0}" -ge "$3" ] ||
		die "$guest_name: $1: $2 is \"$value\", expected at least $3"
}

# --- judgement ---------------------------------------------------------------------------------

# exercised_blk: what the guest that was judged last has used, by what it negotiated and did
exercised_blk()
{
	local bit words=("$(guest_said disk ring)" blk-read-write vu-back-end vu-CONFIG)

	for bit in $(guest_said disk features | tr , ' '); do
		case $bit in
		9) words+=(blk-FLUSH) ;;
		10) words+=(blk-TOPOLOGY) ;;
		28) words+=(INDIRECT_DESC) ;;
		29) words+=(EVENT_IDX) ;;
		32) words+=(VERSION_1) ;;
		33) words+=(ACCESS_PLATFORM) ;;
		esac
	done
	[ "$(guest_said disk queues)" -lt 2 ] || words+=(blk-MQ)
	[ "$(stat_of discarded_bytes)" -eq 0 ] || words+=(blk-DISCARD)
	[ "$(guest_said disk readonly)" != 1 ] || words+=(blk-RO)
	[ -z "$(guest_said interrupts uml)" ] ||
		words+=(vu-INBAND_NOTIFICATIONS vu-BACKEND_REQ vu-REPLY_ACK)
	exercised "$guest_peer" "${words[@]}"
}

# work_check RING QUEUES: what guest and daemon must have said after a guest with mode=work
work_check()
{
	local bytes files in_band queue=0

	files=$(wc -l < "$it_cache/payload/all.sha256")
	bytes=$(guest_said write bytes)
	guest_expect disk ring "$1"
	guest_expect disk queues "$2"
	guest_expect verify files "$files"
	guest_expect verify bytes "$bytes"
	# in-band notifications are told for all queues together
	in_band=$(guest_said interrupts uml)
	while [ $queue -lt "$2" ]; do
		[ "${in_band:-0}" -ge 1 ] || guest_least interrupts "req\\.$queue" 1
		queue=$((queue + 1))
	done
	[ "$(stat_of ring)" = "$1" ] || die "the daemon says ring $(stat_of ring), the guest $1"
	[ "$(stat_of errors)" = 0 ] || die "the daemon counted $(stat_of errors) errors"
	stat_least written_bytes "$bytes"
	stat_least read_bytes "$bytes"
	stat_least discarded_bytes "$(guest_said trim bytes)"
	stat_least requests 100
	stat_least kicks 1
	stat_least interrupts 1
	exercised_blk
}

# image_fault IMAGE: judge the image without any guest's help; says what is wrong, or nothing.
# The file system must be clean, the kept files complete, the deleted ones gone and their space
# given back to the host.
image_fault()
{
	local image=$1 out=$1.files used allocated

	e2fsck -fn "$image" > "$image.e2fsck" 2>&1 ||
		{ echo "e2fsck: $(grep -v '^Pass' "$image.e2fsck" | head -n 3 | tr '\n' ' ')"; return; }
	rm -rf "$out"
	mkdir "$out"
	debugfs -R "rdump /work $out" "$image" > "$image.debugfs" 2>&1
	(cd "$out/work" && sha256sum -c "$it_cache/payload/keep.sha256") > "$image.sums" 2>&1 ||
		{ echo "checksums: $(grep -v ': OK$' "$image.sums" | head -n 3 | tr '\n' ' ')"; return; }
	[ "$(find "$out/work" -type f | wc -l)" -eq "$(wc -l < "$it_cache/payload/keep.sha256")" ] ||
		{ echo "files in the image: $(find "$out/work" -type f -printf '%f ')"; return; }
	rm -rf "$out"
	# the deleted files hold 23 MiB; 8 leave room for the host's own file system
	used=$(dumpe2fs -h "$image" 2>/dev/null | awk -F: '
		{v[$1] = $2}
		END {print int((v["Block count"] - v["Free blocks"]) * v["Block size"] / 1048576)}')
	allocated=$(du -m "$image" | cut -f1)
	[ "$allocated" -le $((used + 8)) ] ||
		echo "discarded space was kept: $allocated MiB for $used MiB of file system"
}

# image_check IMAGE
image_check()
{
	local fault

	fault=$(image_fault "$1")
	[ -z "$fault" ] || die "$fault"
}
