#!/bin/sh
# SPDX-License-Identifier: MIT
# Run all scenes in all orders within their bounds, and in others besides, on as many processors as
# there are.  Ends in "N orders, N failed"; fails if a scene did, whose output is shown then.
#
#   run.sh PLAIN_BUILD RACES_BUILD [ORDERS]
#
# ORDERS is how many there are to be, at most, in thousands (1000).  Of each scene's share half goes to
# orders by depth, which may be too few for all of them, a quarter each to orders at random and by
# rank.  The build that looks at plain accesses, which is slower, gets a tenth besides.
set -u
plain=$1/virtual
races=$2/virtual
orders=${3:-1000}
out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT

jobs() {
    scenes=$("$plain" --list)
    count=$(echo "$scenes" | wc -l)
    for scene in $scenes; do
        for program in "$plain" "$races"; do
            share=$((orders * 1000 / count))
            [ "$program" = "$plain" ] || share=$((share / 10 + 4)) # one at random at least
            echo "$program --most $((share / 2)) $scene"
            echo "$program --random $((share / 4)) --rank $((share / 4)) $scene"
        done
    done
}

jobs | awk -v out="$out" '{ print $0 " >" out "/" NR ".log 2>&1 || touch " out "/" NR ".failed" }' |
    xargs -P "$(nproc)" -I LINE sh -c LINE
cat "$out"/*.log | grep -v ' orders, ' | sort
failed=$(find "$out" -name '*.failed' | wc -l)
sed -nE 's/^([0-9]+) orders, .*/\1/p' "$out"/*.log |
    awk -v failed="$failed" '{ sum += $1 } END { printf "%d orders, %d failed\n", sum, failed }'
[ "$failed" -eq 0 ]
