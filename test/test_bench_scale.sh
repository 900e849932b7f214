#!/bin/sh
# SPDX-License-Identifier: MIT
# The table of bench/scale marks what is not flat, and nothing else.  TAP on standard output.
set -u
cd "$(dirname "$0")/.." || exit 2
. test/tap.sh
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# said KEY SIDE MEDIAN: a line that a benchmark prints.
said() { printf 'side\t%s\t%s\tns\t%s\t1\t9\t1\t9\t7\n' "$1" "$2" "$3" >>"$work/raw"; }
# shows NAME PATTERN: a line of the table matches.
shows() {
    awk -f bench/scale.awk "$work/raw" >"$work/said"
    grep -q "$2" "$work/said"
    report $? "$1"
}

said scale-tasks-1000 ours 40
said scale-tasks-1000 by_hand 10
said scale-tasks-10000 ours 48
said scale-tasks-1000000 ours 49
said scale-tasks-1000000 by_hand 20
said scale-tasks-10 ours 400
said scale-payload-4096 ours 900
shows "a fifth more than with a thousand is flat" "coroutine *10000 ns .* 1\.20 .*yes *-$"
shows "more than that is not" "coroutine *1000000 ns .* 1\.2[23] .*NO *-$"
shows "by hand stands beside it" "coroutine *1000000 ns *49\.0 *20\.0 *- *1\.2[23] *2\.00 "
shows "less than a thousand need not be flat" "coroutine *10 ns .* -  *-$"
shows "nor must other work" "bytes there and back *4096 ns .* -  *-$"

said scale-tasks-10000 ours 100
said scale-tasks-10000 ours 44
shows "the median of the rounds counts" "coroutine *10000 ns *48\.0 .*yes *-$"
printf 'row\tscale-tasks-10000\tx\tns\t1\t1\t1\t1\t1\t1\t1\t-\t-\t-\t90\t8\t3\t-\n' >>"$work/raw"
shows "a disturbed point is marked" "coroutine *10000 ns .*!3$"
printf 'side\tW4\tours\tns\t1\nrow\tscale-tasks-10\tx\n' >>"$work/raw"
shows "what else a run printed is no harm" "coroutine *10000 ns *48\.0 "
grep -q W4 "$work/said"
report $((1 - $?)) "rows of the other table are not in this one"

echo "1..$number"
[ "$failed" -eq 0 ]
