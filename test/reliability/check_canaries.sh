#!/bin/sh
# SPDX-License-Identifier: MIT
# R26: each tool fires.  Bugs of a user's program (canaries/bugs.c), under each tool, with a plain
# library and with one that was built with the same sanitizer (canaries/matrix.sh); bugs planted in
# the library (canaries/plants); and the other things docs/tools.md promises to who looks at a program
# with a tool.
. "${0%/*}/check.sh"
canaries=test/reliability/canaries
export WERROR=
flock build/reliability/lock sh $canaries/build.sh "$work" >>"$log" 2>&1 ||
    broken "the canaries do not build"
LIMIT=1500 run sh $canaries/matrix.sh "$work"
cp "$work/said" "$work/matrix"
grep : "$work/matrix" | column -t 2>/dev/null || cat "$work/matrix"
line R26a "$(said '^[0-9]+ bugs.*')" "at least 16 bugs, 0 missed, 0 lies" \
    "bugs of a user on coroutine stacks, told by each tool that has to" $status

some="relaxed_push no_heavy_barrier completer_looks_back lost_wake plain_counter no_lock missing_unref
    switch_untold fiber_untold stack_not_registered recycled_under_valgrind atomics_untold"
# shellcheck disable=SC2086,SC2046  # several words on purpose
LIMIT=3000 run sh $canaries/plants.sh "$work" $(pick "$some" '')
cat "$work/said"
line R26b "$(said '^[0-9]+ bugs planted, [0-9]+ found')" "all found" \
    "bugs planted in the library, found by who has to" $status

# docs/tools.md: a sanitizer that a plain library makes lie is named.
mismatches=0
libraries=$(pkg-config --libs libevent_core libevent_pthreads)
make_one CC=gcc build/gcc/libanysync.a || broken "the library does not build"
for sanitizer in thread memory; do
    # shellcheck disable=SC2086
    run clang -fsanitize=$sanitizer -w -std=c11 -D_POSIX_C_SOURCE=200809L -Iinclude \
        $canaries/bugs.c $canaries/correct.c build/gcc/libanysync.a $libraries -pthread -o "$work/mismatch"
    run "$work/mismatch" none >/dev/null
    grep -qF "anysync: this program is built with -fsanitize=$sanitizer and libanysync without it" \
        "$work/said" && mismatches=$((mismatches + 1))
done
line R26c "$mismatches of 2" "2 of 2" "sanitizers that need a library of their own, told so" \
    $((mismatches != 2))

# In gdb a coroutine's calls go from where it is to the coroutine's entry, and no further.
run gdb -batch -nx -ex 'set confirm off' -ex 'break future_after_unref_asi_body' -ex run -ex next \
    -ex next -ex bt --args "$work/bugs.plain" future_after_unref
frames=$(grep -cE '^#[0-9]+ ' "$work/said")
last=$(grep -E '^#[0-9]+ ' "$work/said" | tail -n 1)
status=1
case $last in *asi_coro_entry*) ! grep -qE 'corrupt|Backtrace stopped' "$work/said" && status=0 ;; esac
line R26d "$frames frames, the last one ${last##* in }" "asi_coro_entry" "a backtrace in gdb ends" $status
finish
