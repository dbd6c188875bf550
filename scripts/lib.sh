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

# run_programs BUILD LABEL: the Check programs of a build tree, through make check.
run_programs() {
	local build=$1 label=$2 p status
	local -a programs
	mapfile -t programs < <(make -s -C "$build" list-programs)
	if ! make -s -C "$build" -j"$jobs" V=0 "${programs[@]}" >"$build/check-build.log" 2>&1; then
		tail -n 40 "$build/check-build.log"
		result "$label: building the tests" fail
		return
	fi
	for p in "${programs[@]}"; do rm -f "$build/$p.trs" "$build/$p.tap" "$build/$p.clauses"; done
	make -C "$build" -j"$jobs" -k check-TESTS TESTS="${programs[*]}" 2>&1 </dev/null |
		grep -E '^(PASS|FAIL|ERROR|SKIP|XPASS)' || true
	for p in "${programs[@]}"; do
		status=1
		! grep -q '^:test-result: \(PASS\|SKIP\)' "$build/$p.trs" 2>/dev/null || status=0
		count_tap "$label$p" "$build/$p.tap" $status
		[ $status -eq 0 ] || tail -n 20 "$build/$p.log" 2>/dev/null || true
	done
}

# run_quiet NAME COMMAND...: one test case whose output is shown when it fails. 77: skipped.
run_quiet() {
	local name=$1 log status=0 start=$SECONDS
	shift
	log=$logs/${name//[^A-Za-z0-9_-]/_}.log
	"$@" >"$log" 2>&1 </dev/null || status=$?
	case $status in
	0)
		echo "PASS: $name ($((SECONDS - start)) s)"
		result "$name" ok
		;;
	77) result "$name" skip "$(tail -n 1 "$log")" ;;
	*)
		tail -n 40 "$log"
		result "$name" fail "status $status, see $log"
		;;
	esac
}

# run_tap NAME COMMAND...: a script that prints TAP.
run_tap() {
	local name=$1 log status=0 start=$SECONDS
	shift
	log=$logs/${name//[^A-Za-z0-9_-]/_}.tap
	timeout -k 10 "${TAP_LIMIT:-600}" "$@" >"$log" 2>"$log.err" </dev/null || status=$?
	grep -E '^(ok|not ok|#)' "$log" || true
	[ $status -eq 0 ] || tail -n 20 "$log.err"
	count_tap "$name" "$log" $status
	echo "   $name took $((SECONDS - start)) s"
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
