#!/bin/sh
# SPDX-License-Identifier: MIT
# Run tests one after the other, print a line for each, and end in "N passed, N failed".
#
#   BUILD=build/gcc sh test/run.sh FILE ...
#
# FILE is a test program (counted by its TAP lines), a script (its TAP lines; without any it is one
# test, passed if it exits 0, skipped if 77) or a program below docs/examples (one test: it exits 0,
# and prints what docs/examples/NAME.expected says if there is such a file).
# The log of each is BUILD/log/NAME; it is shown when something failed.  SAN says that the programs
# carry a sanitizer; TEST_ARGS are arguments for test programs.
set -u
cd "$(dirname "$0")/.." || exit 2
: "${BUILD:=build/gcc}" "${SAN:=}" "${TEST_ARGS:=}" "${TEST_PROGRAM_LIMIT:=1800}"
mkdir -p "$BUILD/log"
passed=0 failed=0 skipped=0

export TSAN_OPTIONS="halt_on_error=0:die_after_fork=0:exitcode=66:second_deadlock_stack=1:atexit_sleep_ms=10${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
export ASAN_OPTIONS="detect_stack_use_after_return=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"

# Sanitizers need a quiet address space; where setarch is forbidden they have to do without.
fixed=
[ -n "$SAN" ] && setarch "$(uname -m)" -R true 2>/dev/null && fixed="setarch $(uname -m) -R"

run_one() {
    case $1 in
    *.sh) timeout -k 10 "$TEST_PROGRAM_LIMIT" $fixed sh "$1" ;;
    */docs/examples/*)
        timeout -k 10 "$TEST_PROGRAM_LIMIT" $fixed "$1" >"$log.out" || return
        cat "$log.out"
        expected=docs/examples/${1##*/}.expected
        [ ! -e "$expected" ] || diff -u "$expected" "$log.out"
        ;;
    *) timeout -k 10 "$TEST_PROGRAM_LIMIT" $fixed "$1" $TEST_ARGS ;;
    esac
}

# Prints "passed failed skipped" of the log $1 of something that exited with $2.  A program that stops
# before all tests of its plan have run, or that fails without saying which, has one more failure.
count() {
    awk -v status="$2" '
        /^1\.\.[0-9]+/               { planned = substr($1, 4) + 0; plan = 1 }
        /^ok [0-9]+/ && /# SKIP/     { skipped++; next }
        /^ok [0-9]+/                 { passed++ }
        /^not ok [0-9]+/             { failed++ }
        END {
            if (!plan && !failed && !passed) {
                if (status == 77) skipped++; else if (status == 0) passed++; else failed++
            } else if (passed + failed + skipped < planned || (status != 0 && !failed))
                failed++
            print passed + 0, failed + 0, skipped + 0
        }' "$1"
}

for file in "$@"; do
    name=${file##*/}
    log=$BUILD/log/$name
    begin=$(date +%s)
    run_one "$file" >"$log" 2>&1 </dev/null
    status=$?
    counts=$(count "$log" $status)
    set -- $counts
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
    verdict=ok
    if [ "$2" -gt 0 ]; then
        verdict=FAILED
        sed 's/^/    /' "$log"
        [ $status -ne 124 ] || echo "    $name did not end within $TEST_PROGRAM_LIMIT s"
    fi
    printf '%-6s %-28s %4d passed' $verdict "$name" "$1"
    [ "$2" -eq 0 ] || printf ', %d failed' "$2"
    [ "$3" -eq 0 ] || printf ', %d skipped' "$3"
    printf ', %d s\n' $(($(date +%s) - begin))
done
[ $skipped -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
