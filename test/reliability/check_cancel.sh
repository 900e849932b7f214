#!/bin/sh
# SPDX-License-Identifier: MIT
# R6: a cancel at every moment of every call that waits.  R7: a deadline at every tick of the clock.
#
# Both on virtual threads, by depth, at random and by rank (scenes cancel_..., deadline_... of
# test/virtual), some of them with plain accesses looked at.  R6 besides on real loops: each of the
# calls of test/test_cancel_points.c, in four worlds, cut at each of its suspension points, again and
# again.  What is counted is orders that went well, and cuts.
. "${0%/*}/check.sh"
make_one VIRTUAL=plain build/virtual-plain/virtual || broken "the virtual machine does not build"
make_one VIRTUAL=races build/virtual-races/virtual || broken "the virtual machine does not build"

# Orders of the scenes whose names begin with $1, in $explored: at most $2 of each by depth, $3 at
# random, $3 by rank; a tenth of that with plain accesses.  Those at random differ from run to run of
# the whole scoreboard if SEED does.
explore() {
    scenes=$(build/virtual-plain/virtual --list | grep "^$1")
    [ -n "$scenes" ] || broken "no scene has a name like $1"
    explored=0
    result=0
    for build in plain races; do
        share=$([ $build = plain ] && echo 1 || echo 10)
        for bounds in "--most $(($2 / share))" \
            "--seed ${SEED:-1} --random $(($3 / share)) --rank $(($3 / share))"; do
            LIMIT=$(pick 600 7200) run build/virtual-$build/virtual $bounds $scenes
            orders=$(said '^[0-9]+ orders' | cut -d ' ' -f 1)
            explored=$((explored + ${orders:-0}))
            [ "$status" -eq 0 ] || result=1
        done
    done
}

explore cancel_ "$(pick 3000 60000)" "$(pick 3000 90000)"
program test_cancel_points
export TEST_VERBOSE=1
cuts=0
for _ in $(seq "$(pick 20 1000)"); do
    run "$program" c5_each
    [ "$status" -eq 0 ] || result=1
    cuts=$((cuts + $(said '[0-9]+ cuts' | cut -d ' ' -f 1)))
done
runs=$((explored + cuts))
least=$(pick 100000 10000000)
[ "$runs" -ge "$least" ] || result=1
line R6 "$runs runs" "$least" "a cancel at any moment of each call that waits ($cuts on real loops)" $result

explore deadline_ "$(pick 10000 100000)" "$(pick 5000 90000)"
least=$(pick 100000 5000000)
[ "$explored" -ge "$least" ] || result=1
line R7 "$explored runs" "$least" "a deadline at any tick of each call that waits" $result
finish
