#!/bin/sh
# SPDX-License-Identifier: MIT
# Make tables and plots of what a run of the benchmarks printed, and print the tables.
#
#   bench/report.sh BUILD_DIR     reads BUILD_DIR/bench.raw, and leaves there
#
#   bench.tsv     a line for each row           sides.tsv   a line for each side of each row
#   records.tsv   quantiles of what was recorded: latencies, bytes
#   table.txt     what is printed               plots/*.svg   where there is python3
set -u
build=${1:?usage: report.sh BUILD_DIR}
here=$(dirname "$0")
raw=$build/bench.raw
BENCH_PEERS=${BENCH_PEERS:-$(dirname "$build")/peers}

# lines KIND FILE HEADER...: the lines of that kind, without its name, below a header.
lines() {
    kind=$1 file=$2
    shift 2
    {
        printf '%s' "$1"
        shift
        printf '\t%s' "$@"
        printf '\n'
        sed -n "s/^$kind	//p" "$raw"
    } >"$file"
}
lines row "$build/bench.tsv" key work unit ours by_hand floor ours/by_hand ours/floor min max \
    target limit met others_percent repeated disturbed best_peer best ours/best
lines side "$build/sides.tsv" key side unit median min max quartile1 quartile3 repetitions
# shellcheck disable=SC2046  # numbers
lines record "$build/records.tsv" key side unit \
    $(awk 'BEGIN { for (i = 0; i <= 100; i++) print "q" i }')

awk -f "$here/table.awk" -v cores="$(nproc)" -v machine="$(uname -srm)" "$build/bench.tsv" \
    "$build/sides.tsv" | tee "$build/table.txt"
if grep -q '^side	scale-' "$raw"; then
    awk -f "$here/scale.awk" -v cores="$(nproc)" -v machine="$(uname -srm)" "$raw" \
        >"$build/scale.txt"
    echo
    cat "$build/scale.txt"
fi
if [ -s "$BENCH_PEERS/.left_out" ]; then
    echo "No peers here:"
    sed 's/^/  /' "$BENCH_PEERS/.left_out"
elif [ ! -d "$BENCH_PEERS" ]; then
    echo "No peers: make bench-peers installs and builds them."
fi | tee -a "$build/table.txt"
if command -v python3 >/dev/null; then
    python3 "$here/plot.py" "$build" "$build/plots"
fi
