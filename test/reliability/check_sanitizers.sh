#!/bin/sh
# SPDX-License-Identifier: MIT
# R8: the tests under the memory sanitizer, valgrind's memcheck, and helgrind; none of the library's
# code is suppressed.  (Under the address, undefined and thread sanitizers .ci/run has all tests.)
#
# Left out under all three: what asks for a limit on memory, reuse of memory or a crash, which a tool
# takes away or does itself.  In CI a part of the tests runs, in a full run all that are left.
. "${0%/*}/check.sh"
unfit="test_spare test_overflow test_stack test_harness test_dlopen test_recycle"
# valgrind runs one thread at a time, and knows no light guards: what counts system calls or mappings,
# needs two threads at once, or forks among many, takes hours or says something else there.
slow="test_fork test_fork_races test_coro test_deadlock_threads test_spin test_timers test_idle
    test_owned test_late test_late_back test_failures test_cancel_points"

# Tests whose own C atomics helgrind takes for races, in their refusals (fault.h) too; it knows the
# library's only.
own_atomics() {
    for file in test/test_*.c; do
        # shellcheck disable=SC2046  # several words on purpose
        ! grep -qE '"fault.h"|_Atomic|atomic_(bool|int|long|uint|load|store|fetch|exchange|compare)' \
            $(gcc -MM -D_POSIX_C_SOURCE=200809L -Iinclude -Ilib "$file" | tr ' \\' '\n\n' |
                grep '^test/') || basename "$file" .c
    done | tr '\n' ' '
}

all() {
    for file in test/test_*.c; do
        file=${file##*/}
        file=${file%.c}
        case " $1 " in *" $file "*) ;; *) echo "$file" ;; esac
    done
}

# Build and run test programs in the kind of build that $3 names, and count; the rest runs them.
# $1 is how platforms.waived calls the tool.
passed=0 failed=0 under=
run_tests() {
    platform=$1 programs=$2 kind=$3
    shift 3
    : >"$work/skipped"
    # shellcheck disable=SC2086  # several words on purpose
    place=$(make --no-print-directory -s $kind print-build)
    targets=
    for test in $programs; do
        targets="$targets $place/test/$test"
    done
    # shellcheck disable=SC2086
    make_one $kind $targets || broken "the tests do not build: $kind"
    passed=0 failed=0
    for target in $targets; do
        chosen=$(names "$platform" "${target##*/}")
        [ "$chosen" != none ] || continue
        # shellcheck disable=SC2086  # several words on purpose
        run "$@" "$target" $chosen
        ok=$(grep -cE '^ok [0-9]+' "$work/said")
        not=$(grep -cE '^not ok [0-9]+' "$work/said")
        [ $status -eq 0 ] || [ "$not" -gt 0 ] || not=1
        [ "$not" -eq 0 ] || echo "${target##*/}: $not failed"
        passed=$((passed + ok)) failed=$((failed + not))
    done
}

export TEST_TIME_LIMIT=600
LIMIT=$(pick 300 3600)
export TEST_SCALE=$(pick 1 3)
run_tests memory "$(pick "test_values test_calls test_futures test_mailbox test_cell test_channel
    test_groups test_generators test_io test_timers test_offload test_cancel test_vars test_managers
    test_deadlock test_callbacks" "$(all "$unfit")")" "CC=clang SAN=memory"
line R8c "$passed passed, $failed failed" "0 failed" "tests under the memory sanitizer" $failed

TEST_SCALE=1
run_tests memcheck "$(pick "test_values test_channel test_generators test_groups test_io test_offload" \
    "$(all "$unfit $slow")")" "" \
    valgrind -q --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
    --error-exitcode=9 --fair-sched=yes
line R8d "$passed passed, $failed failed" "0 failed" "tests under valgrind's memcheck" $failed

run_tests helgrind "$(pick "test_values test_generators test_managers test_io test_vars test_deadlock" \
    "$(all "$unfit $slow $(own_atomics)")")" "SAN=helgrind" \
    valgrind -q --tool=helgrind --error-exitcode=9 --fair-sched=yes \
    --suppressions=test/reliability/helgrind.supp
line R8e "$passed passed, $failed failed" "0 failed" "tests under helgrind, which knows our atomics" $failed
finish
