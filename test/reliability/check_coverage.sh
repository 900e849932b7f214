#!/bin/sh
# SPDX-License-Identifier: MIT
# R20: how much of lib/ and include/ the tests run, by gcov.
#
# Built without optimization, as a race build: its threads give way at the points where orders
# matter, so that code for rare orders is run, too.  Besides the tests run the checks that refuse and
# interrupt, with small numbers; and a few tests in an address sanitizer's build, for what is told to
# such a tool.  Lines that cannot be run, and those of two threads within a few instructions, which
# are not run each time, are in the list `unreachable`, with the reason, and counted (coverage.py).
# All others have to be run; the bar leaves five lines, for orders that nobody has seen yet.
. "${0%/*}/check.sh"

least_lines=99.95
least_branches=95.5
objects=$work/obj
told=$work/told
sources="$(grep -L '^ \* Packages:' test/test_*.c docs/examples/*.c)"
programs=$(echo "$sources" | sed "s|^|$objects/|; s|\.c\$||")
checks=$(printf "$objects/test/reliability/%s\n" faults limits interrupts nested ends wakes forks many)
few=$(printf "$told/test/test_%s\n" coro stack history_stacks offload recycle generators held)
counted='--coverage -fprofile-update=atomic -DTEST_COVERAGE'

# Build TARGETs in the folder $1; other words are settings.
build() {
    folder=$1
    shift
    make_one BUILD="$folder" OPT=-O0 WERROR= LDFLAGS=--coverage CFLAGS="$counted" "$@" ||
        broken "the tests do not build"
}

build "$objects" RACE=1 $programs $checks "$objects/libanysync.so"
# (Undefined behaviour is looked for elsewhere: here it would be branches that nobody wrote.)
build "$told" DEBUG=1 SAN=address sanitize_address='-fsanitize=address -fno-omit-frame-pointer' $few
find "$objects" "$told" -name '*.gcda' -delete

TEST_SCALE=$(pick 25 100)
export TEST_SCALE
small="FAULT_POINTS=$(pick 4000 30000) FAULT_PAIRS=$(pick 500 5000) LIMIT_STRIDE=16 LIMIT_ROUNDS=1
    LIMIT_STEPS=3 STORM_TASKS=20000 STORM_SIGNALS=5000 DEEP=1 WIDE=1 ENDS=2 HANDOVERS=20000
    TEST_VERBOSE=1 TEST_TIME_LIMIT=7200 ANYSYNC_LIBRARY=$objects/libanysync.so"
failed=0

# One round of everything; counts add up.
run_all() {
    LIMIT=3000 BUILD=$objects run sh test/run.sh $programs
    tests=$(said '^[0-9]+ passed, [0-9]+ failed')
    [ "$status" -eq 0 ] || failed=1
    # What is not to be counted as run may fail, too: each of these says so itself.
    for program in $checks $few; do
        LIMIT=3000 run env $small "$program"
        [ "$status" -eq 0 ] || failed=1
    done
}

# lines RUN of ALL PERCENT, listed N, branches TAKEN of ALL PERCENT: the 5th, 7th and 12th
is_enough() {
    run python3 test/reliability/coverage.py test/reliability/unreachable "$objects" "$told"
    figures=$(said '^lines .*')
    set -- $(echo "$figures" | tr -d ,)
    lines=${5:-0} listed=${7:-0} branches=${12:-0}
    awk -v lines="$lines" -v branches="$branches" -v least_lines="$least_lines" \
        -v least_branches="$least_branches" \
        'BEGIN { exit !(lines + 0 >= least_lines && branches + 0 >= least_branches) }'
}

# Which rare orders of threads a round sees depends on the machine: what is asked for is that the
# tests come to the lines, not that they do so at the first attempt.
rounds=0 met=1
while [ $rounds -lt 3 ] && [ $met -ne 0 ] && [ $failed -eq 0 ]; do
    rounds=$((rounds + 1))
    run_all
    is_enough
    met=$?
    grep '^in the list' "$work/said" && failed=1
    echo "round $rounds: $figures; $tests; what was not run: $log"
done
[ $failed -eq 0 ] || met=1
[ $met -eq 0 ] || grep '^not run' "$work/said"
line R20 "$lines % of lines, $branches % of branches, $listed lines listed, rounds: $rounds" \
    "$least_lines %, $least_branches %" "of the library run by its tests" "$met"
finish
