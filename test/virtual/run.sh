#!/bin/sh
# SPDX-License-Identifier: MIT
# Run all scenes in all orders within their bounds, and in others besides, JOBS at once (as many as
# there are processors).  Ends in "N orders, N failed"; fails if a scene did, whose output is shown then.
#
#   run.sh PLAIN_BUILD RACES_BUILD [ORDERS [JOBS]]
#
# ORDERS is how many there are to be, at most, in thousands (1000).  All scenes get the same time, as
# far as a few orders tell their speed, so quick ones get more orders.  Of each share half goes to
# orders by depth, which may be too few for all of them, a quarter each to orders at random and by
# rank.  The build that looks at plain accesses, which is slower, gets a tenth besides.
set -u
plain=$1/virtual
races=$2/virtual
orders=${3:-1000}
out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT

# "SCENE NANOSECONDS" of each: how long a few orders take.
speeds() {
    for scene in $("$plain" --list); do
        begin=$(date +%s%N)
        "$plain" --random 1000 "$scene" >/dev/null
        echo "$scene $(($(date +%s%N) - begin))"
    done
}

jobs() {
    speeds | awk -v orders="$((orders * 1000))" '
        { name[NR] = $1; weight[NR] = 1 / $2; sum += weight[NR] }
        END { for (i = 1; i <= NR; i++) printf "%s %d\n", name[i], orders * weight[i] / sum + 8 }' |
        while read -r scene all; do
            for program in "$plain" "$races"; do
                share=$all
                [ "$program" = "$plain" ] || share=$((share / 10 + 8)) # one at random at least
                echo "$program --most $((share / 2)) $scene"
                echo "$program --random $((share / 4)) --rank $((share / 4)) $scene"
            done
        done
}

jobs | awk -v out="$out" '{ print $0 " >" out "/" NR ".log 2>&1 || touch " out "/" NR ".failed" }' |
    xargs -P "${4:-$(nproc)}" -I LINE sh -c LINE
cat "$out"/*.log | grep -v ' orders, ' | sort
failed=$(find "$out" -name '*.failed' | wc -l)
sed -nE 's/^([0-9]+) orders, .*/\1/p' "$out"/*.log |
    awk -v failed="$failed" '{ sum += $1 } END { printf "%d orders, %d failed\n", sum, failed }'
[ "$failed" -eq 0 ]
