#!/bin/sh
# SPDX-License-Identifier: MIT
# Run the benchmarks below BUILD_DIR, and print one table.  Each row runs in a process of its own.
#
#   bench/run.sh BUILD_DIR [PATTERN]    only rows whose key matches PATTERN (W1, W3-4, ...)
#   bench/run.sh BUILD_DIR '' real      the rows with real servers instead (make bench-real)
#   BENCH_ONLY=ours,floor,tokio bench/run.sh BUILD_DIR      only those sides
#   BENCH_ROWS=W make bench             the pattern, for who calls make: the table without the curves
#
# The peers in build/peers (make bench-peers) take their turns in the same rows; BENCH_PEERS names
# another directory.  BUILD_DIR/bench.raw has what the programs printed; report.sh makes tables and
# plots of it.
#
# Ends with 1 if a row could not be measured; a missed target is said in the table and is no
# failure, for the machine may be busy.
set -u
build=${1:?usage: run.sh BUILD_DIR [PATTERN]}
pattern=${2:-${BENCH_ROWS:-.}}
kind=${3:+/$3}
here=$(dirname "$0")
seconds=1800 # a row takes a few, with peers minutes; more is a hang
results=$build$kind # where the tables go
raw=$results/bench.raw
started=$(date +%s)
failed=0
BENCH_PEERS=${BENCH_PEERS:-$(dirname "$build")/peers}
export BENCH_PEERS

# The rows of the table by their numbers, then the points of the curves as they come.
all=$(for program in "$build/bench$kind"/bench_* "$build$kind"/bench_*; do
    if [ -f "$program" ] && [ -x "$program" ]; then
        "$program" | sed "s|\$| $program|"
    fi
done | grep "^$pattern")
keys=$(printf '%s\n' "$all" | grep '^W' | sort -s -t- -k1.2,1n
    printf '%s\n' "$all" | grep -v '^W')
if [ -z "$all" ]; then
    echo "bench: no benchmark for $pattern below $build" >&2
    exit 1
fi

mkdir -p "$results"
: >"$raw"
while read -r key program; do
    [ -t 2 ] && printf '\r%-30s' "$key" >&2
    if [ -n "$key" ] && ! timeout "$seconds" "$program" "$key" >>"$raw" </dev/null; then
        awk -v key="$key" 'BEGIN {
            printf "row\t%s\t%s FAILED", key, key
            for (i = 4; i <= 20; i++)
                printf "\t%s", i == 14 ? "NO" : "-"
            print ""
        }' >>"$raw"
        failed=1
    fi
done <<END
$keys
END
[ -t 2 ] && printf '\r%-30s\r' '' >&2

sh "$here/report.sh" "$results"
echo "$results/bench.tsv, $(($(date +%s) - started)) s"
exit $failed
