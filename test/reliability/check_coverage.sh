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
LIMIT=3000 BUILD=$objects run sh test/run.sh $programs
tests=$(said '^[0-9]+ passed, [0-9]+ failed')
failed=$status

# What is not to be counted as run may fail, too: each of these says so itself.
export TEST_VERBOSE=1 TEST_TIME_LIMIT=7200 ANYSYNC_LIBRARY="$objects/libanysync.so"
export FAULT_POINTS FAULT_PAIRS LIMIT_STRIDE=16 LIMIT_ROUNDS=1 LIMIT_STEPS=3 STORM_TASKS=20000
export STORM_SIGNALS=5000 DEEP=1 WIDE=1 ENDS=2 HANDOVERS=20000
FAULT_POINTS=$(pick 4000 30000)
FAULT_PAIRS=$(pick 500 5000)
for program in $checks; do
    LIMIT=3000 run "$program"
    [ "$status" -eq 0 ] || failed=1
done
for program in $few; do
    run "$program"
    [ "$status" -eq 0 ] || failed=1
done

run python3 test/reliability/coverage.py test/reliability/unreachable "$objects" "$told"
figures=$(said '^lines .*')
grep '^in the list' "$work/said"
[ "$failed" -eq 0 ] || status=$failed
echo "$figures; $tests; what was not run: $log"
# lines RUN of ALL PERCENT, listed N, branches TAKEN of ALL PERCENT: the 5th, 7th and 12th
set -- $(echo "$figures" | tr -d ,)
awk -v lines="${5:-0}" -v branches="${12:-0}" -v least_lines="$least_lines" \
    -v least_branches="$least_branches" \
    'BEGIN { exit !(lines + 0 >= least_lines && branches + 0 >= least_branches) }' || status=1
line R20 "${5:--} % of lines, ${12:--} % of branches, ${7:--} lines listed" \
    "$least_lines %, $least_branches %" \
    "of the library run by its tests" "$status"
finish
