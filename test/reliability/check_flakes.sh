#!/bin/sh
# SPDX-License-Identifier: MIT
# R24: all test programs, again and again; a test that fails once is a failure.  Scripts are left
# out: they look at files, which do not change from run to run.
#
#   REPEATS, SECONDS_AT_MOST  when to stop, in the place of what MODE says; the first that comes
. "${0%/*}/check.sh"
: "${REPEATS:=$(pick 3 200)}" "${SECONDS_AT_MOST:=$(pick 900 3600)}"
tests=$(ls test/test_*.c | sed 's,^,build/gcc/,;s,\.c$,,')
# The library too: test_dlopen makes it if it is not there, without asking for the lock.
make_one CC=gcc $tests build/gcc/libanysync.so.0 || broken "the tests do not build"
export BUILD=build/gcc CC=gcc TEST_SCALE=$(pick 25 100)
began=$(date +%s)
repeats=0 passed=0 failed=0
while [ $repeats -lt "$REPEATS" ] && [ $(($(date +%s) - began)) -lt "$SECONDS_AT_MOST" ]; do
    LIMIT=1200 run sh test/run.sh $tests
    repeats=$((repeats + 1))
    passed_now=$(said '^[0-9]+ passed, [0-9]+ failed' | cut -d ' ' -f 1)
    passed=$((passed + ${passed_now:-0}))
    [ $status -eq 0 ] || failed=$((failed + 1))
done
what="runs of all $(echo $tests | wc -w) test programs without a failure"
asked=$REPEATS
[ $repeats -eq "$REPEATS" ] || asked="$REPEATS, or what $((SECONDS_AT_MOST / 60)) min hold"
[ $repeats -gt 0 ] && [ $passed -gt 0 ] || failed=1
line R24 "$((repeats - failed)) of $repeats, $passed tests" "$asked" "$what" $failed
finish
