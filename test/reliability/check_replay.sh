#!/bin/sh
# SPDX-License-Identifier: MIT
# R23: what a failure on virtual threads prints replays it, each time, point by point.
#
# Scenes that fail on purpose (test/virtual/scenes_planted.c) are run until they do: by depth, and at
# random and by rank from several seeds.  Each order that was printed is replayed a hundred times in
# a process of its own; all have to fail in the same way after the same points.
. "${0%/*}/check.sh"
REPLAYS=100
make_one VIRTUAL=plain build/virtual-plain/virtual || broken "the virtual machine does not build"
machine=build/virtual-plain/virtual

# All that a replay prints, but for addresses, which differ from one process to the next.
replay() {
    $machine --replay "$1" "$2" | sed -E 's/0x[0-9a-f]+ *//g'
}

# Fail by $1 (words of the command line), and replay that.
try() {
    scene=$1
    shift
    run "$machine" "$@" "$scene" >/dev/null
    order=$(said 'replay [a-z0-9:=]+' | cut -d ' ' -f 2)
    [ "$status" -eq 1 ] && [ -n "$order" ] || broken "$scene does not fail by $*"
    how=$(grep -m 1 "^$scene: " "$work/said")
    failures=$((failures + 1))
    replay "$order" "$scene" >"$work/first"
    if ! grep -qF "$how" "$work/first"; then
        echo "$scene: $order replays as something else"
        return
    fi
    for _ in $(seq $REPLAYS); do
        replay "$order" "$scene" | cmp -s - "$work/first" && alike=$((alike + 1))
    done
}

failures=0
alike=0
for scene in planted_lost_wake planted_use_after_free planted_lost_update planted_optimism; do
    try "$scene" --most 1000000
    for seed in $(seq 1000000 1000000 "$(pick 1000000 5000000)"); do
        try "$scene" --seed "$seed" --random 900000
        try "$scene" --seed "$seed" --rank 900000
    done
done
asked=$((failures * REPLAYS))
[ "$alike" -eq "$asked" ]
line R23 "$alike of $asked" "100 of 100 each" "replays of $failures failures, alike in each point" $?
finish
