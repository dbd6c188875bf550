# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2154
# For scripts/test and scripts/soak: areas, counting of TAP, builds of variants.

passed=0 failed=0 skipped=0
failures=()

area_begin() {
	area=$1 area_start=$SECONDS area_passed=$passed area_failed=$failed area_skipped=$skipped
	echo
	echo "== $area"
}

area_end() {
	echo "== $area: $((passed - area_passed)) passed, $((failed - area_failed)) failed," \
		"$((skipped - area_skipped)) skipped, $((SECONDS - area_start)) s"
}

# result NAME ok|fail|skip [WHY]: one test case.
result() {
	case $2 in
	ok) passed=$((passed + 1)) ;;
	skip)
		skipped=$((skipped + 1))
		echo "SKIP: $1${3:+ ($3)}"
		;;
	*)
		failed=$((failed + 1))
		failures+=("$area: $1${3:+ ($3)}")
		echo "FAIL: $1${3:+ ($3)}"
		;;
	esac
}

# count_tap NAME FILE STATUS: counts FILE's lines. A program that ended badly without saying which
# test case failed, or that said nothing, is a failure of its own.
count_tap() {
	local line ok=0 bad=0
	if [ -f "$2" ]; then
		while IFS= read -r line; do
			case $line in
			'ok '*'# SKIP'*) result "$1: ${line%%# SKIP*}" skip "${line##*# SKIP }" && ok=$((ok + 1)) ;;
			'ok '*) passed=$((passed + 1)) ok=$((ok + 1)) ;;
			'not ok '*)
				bad=$((bad + 1))
				result "$1: ${line#not ok }" fail
				;;
			esac
		done <"$2"
	fi
	if [ "$3" -ne 0 ] && [ $bad -eq 0 ]; then
		result "$1" fail "ended with status $3"
	elif [ $((ok + bad)) -eq 0 ]; then
		result "$1" fail "reported no test case"
	fi
}

# longest_first: the programs of standard input, those first that took longest in the last run of build tree $1
longest_first() {
	local p
	while IFS= read -r p; do
		echo "$(cat "$1/$p.time" 2>/dev/null || echo 0) $p"
	done | sort -s -k 1,1nr | cut -d ' ' -f 2-
}

# slowest BUILD PROGRAM...: one line, the longest of them with their seconds
slowest() {
	local build=$1 p
	shift
	echo "slowest programs:$(for p in "$@"; do
		echo "$(cat "$build/$p.time" 2>/dev/null || echo 0) $p"
	done | sort -k 1,1nr | head -n 6 | awk '{printf "%s %s %.1f s", n++ ? "," : "", $2, $1 / 100}')"
}

# run_programs BUILD LABEL [LIKE [PATTERN]]: the Check programs of a build tree (with such names), through make check; the
# longest first, as they were in the build tree LIKE, or no processor would have work at the end but one.
run_programs() {
	local build=$1 label=$2 like=${3:-$1} pattern=${4:-.} p status
	local -a programs
	mapfile -t programs < <(make -s -C "$build" list-programs | grep -E "$pattern" | longest_first "$like")
	if ! make -s -C "$build" -j"$jobs" V=0 "${programs[@]}" >"$build/check-build.log" 2>&1; then
		tail -n 40 "$build/check-build.log"
		result "$label: building the tests" fail
		return
	fi
	# Many wait for the kernel or for their threads more than they work.
	for p in "${programs[@]}"; do rm -f "$build/$p.trs" "$build/$p.tap" "$build/$p.clauses"; done
	make -C "$build" -j$((2 * jobs)) -k check-TESTS TESTS="${programs[*]}" 2>&1 </dev/null |
		grep -E '^(PASS|FAIL|ERROR|SKIP|XPASS)' || true
	for p in "${programs[@]}"; do
		status=1
		! grep -q '^:test-result: \(PASS\|SKIP\)' "$build/$p.trs" 2>/dev/null || status=0
		count_tap "$label$p" "$build/$p.tap" $status
		[ $status -eq 0 ] || tail -n 20 "$build/$p.log" 2>/dev/null || true
	done
	slowest "$build" "${programs[@]}"
}

# at_once N START END WORD...: START WORD in the background for each, N of them at a time; when one is over
# END WORD STATUS SECONDS.
at_once() {
	local n=$1 start=$2 end=$3 running=0 over pipe word finished status seconds
	shift 3
	pipe=$(mktemp -u)
	mkfifo "$pipe" && exec {over}<>"$pipe" || return
	rm "$pipe"
	for word in "$@" ''; do
		while [ $running -ge "$n" ] || { [ -z "$word" ] && [ $running -gt 0 ]; }; do
			read -r status seconds finished <&"$over"
			running=$((running - 1))
			"$end" "$finished" "$status" "$seconds"
		done
		[ -n "$word" ] || break
		(
			begun=$SECONDS status=0
			"$start" "$word" || status=$?
			echo "$status $((SECONDS - begun)) $word" >&"$over"
		) &
		running=$((running + 1))
	done
	exec {over}>&-
}

log_of() {	# NAME
	echo "$logs/${1//[^A-Za-z0-9_-]/_}"
}

# quiet NAME COMMAND...: what it says goes to a log
quiet() {
	local name=$1
	shift
	"$@" >"$(log_of "$name").log" 2>&1 </dev/null
}

# quiet_over NAME STATUS SECONDS: the result of quiet
quiet_over() {
	local log
	log=$(log_of "$1").log
	case $2 in
	0)
		echo "PASS: $1 ($3 s)"
		result "$1" ok
		;;
	77) result "$1" skip "$(tail -n 1 "$log")" ;;
	*)
		tail -n 40 "$log"
		result "$1" fail "status $2, see $log"
		;;
	esac
}

# run_quiet NAME COMMAND...: one test case whose output is shown when it fails. 77: skipped.
run_quiet() {
	local status=0 start=$SECONDS
	quiet "$@" || status=$?
	quiet_over "$1" $status $((SECONDS - start))
}

# tap NAME COMMAND...: a script that prints TAP, into a log
tap() {
	local log
	log=$(log_of "$1").tap
	shift
	timeout -k 10 "${TAP_LIMIT:-900}" "$@" >"$log" 2>"$log.err" </dev/null
}

# tap_over NAME STATUS SECONDS: the results of tap
tap_over() {
	local log
	log=$(log_of "$1").tap
	grep -E '^(ok|not ok|#)' "$log" || true
	[ "$2" -eq 0 ] || tail -n 20 "$log.err"
	count_tap "$1" "$log" "$2"
	echo "   $1 took $3 s"
}

# run_tap NAME COMMAND...: a script that prints TAP.
run_tap() {
	local status=0 start=$SECONDS
	tap "$@" || status=$?
	tap_over "$1" $status $((SECONDS - start))
}

# build_variant DIR CC CONFIGURE-ARGUMENTS...: configures and builds in DIR. Its result is a test case.
build_variant() {
	local dir=$1 cc=$2 log start=$SECONDS
	shift 2
	! command -v ccache >/dev/null || cc="ccache $cc"
	mkdir -p "$dir"
	log=$dir/variant.log
	if ! { [ -f "$dir/Makefile" ] || (cd "$dir" && "$top/configure" -q CC="$cc" "$@"); } >"$log" 2>&1 </dev/null ||
		! make -s -C "$dir" -j"$jobs" V=0 >>"$log" 2>&1 </dev/null; then
		tail -n 40 "$log"
		result "build $(basename "$dir")" fail
		return 1
	fi
	result "build $(basename "$dir")" ok
	echo "PASS: build $(basename "$dir") ($((SECONDS - start)) s)"
}

finish() {
	echo
	if [ ${#failures[@]} -gt 0 ]; then
		echo "failed:"
		printf '  %s\n' "${failures[@]}"
	fi
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed -eq 0 ] || exit 1
	exit 0
}
