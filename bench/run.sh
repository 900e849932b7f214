#!/bin/sh
# SPDX-License-Identifier: MIT
# Run the benchmarks below BUILD_DIR, and print one table.  Each row runs in a process of its own.
#
#   bench/run.sh BUILD_DIR [PATTERN]    only rows whose key matches PATTERN (W1, W3-4, ...)
#   BENCH_ONLY=ours,floor bench/run.sh BUILD_DIR      only those sides
#
# The figures are left in BUILD_DIR/bench.tsv too.  Ends with 1 if a row could not be measured; a missed
# target is said in the table and is no failure, for the machine may be busy.
set -u
build=${1:?usage: run.sh BUILD_DIR [PATTERN]}
pattern=${2:-.}
seconds=120 # a row takes a few; more is a hang
table=$build/bench.tsv
started=$(date +%s)
failed=0

keys=$(for program in "$build"/bench/bench_* "$build"/bench_*; do
    if [ -f "$program" ] && [ -x "$program" ]; then
        "$program" | sed "s|\$| $program|"
    fi
done | grep "^$pattern" | sort -s -t- -k1.2,1n)
if [ -z "$keys" ]; then
    echo "bench: no benchmark for $pattern below $build" >&2
    exit 1
fi

printf 'key\twork\tunit\tours\tby_hand\tfloor\tours/by_hand\tours/floor\tmin\tmax\ttarget\tlimit\tmet' >"$table"
printf '\tothers_percent\trepeated\tdisturbed\n' >>"$table"
while read -r key program; do
    [ -t 2 ] && printf '\r%-30s' "$key" >&2
    if ! timeout "$seconds" "$program" "$key" >>"$table" </dev/null; then
        printf '%s\t%s FAILED\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\tNO\t-\t-\t-\n' "$key" "$key" >>"$table"
        failed=1
    fi
done <<EOF
$keys
EOF
[ -t 2 ] && printf '\r%-30s\r' '' >&2

awk -F '\t' -v cores="$(nproc)" -v machine="$(uname -srm)" '
function show(figure)
{
    if (figure == "-")
        return figure
    if (figure >= 100 || figure <= -100)
        return sprintf("%.0f", figure)
    return sprintf(figure >= 10 ? "%.1f" : figure >= 0.1 || figure <= 0 ? "%.2f" : "%.3f", figure)
}
NR == 1 {
    print machine ", " cores " processors.  Medians; sides take turns in one process.  ns, bytes, ms: less"
    print "is better; k/s, M/s: more is.  Spread: least and most of ours.  Others: processor time other"
    print "processes took meanwhile, in percent of one core; +n: so many repetitions were measured again, !n:"
    print "so many were kept although disturbed."
    print ""
    printf "%-29s %-5s %9s %9s %9s %8s %8s %17s  %-28s %-4s %s\n", "work", "unit", "ours", "by hand",
            "floor", "/by hand", "/floor", "spread", "target (limit)", "met?", "others"
    next
}
{
    aside = $2 !~ /^W[0-9]/
    spread = $9 == "-" || aside ? "-" : show($9) "-" show($10)
    target = $12 == "-" ? "-" : $12 > 1e9 ? $11 : $11 ($11 + 0 == $12 ? "" : " (" show($12) ")")
    others = aside ? "" : $14 "%" ($15 > 0 ? " +" $15 : "") ($16 > 0 ? " !" $16 : "")
    printf "%-29s %-5s %9s %9s %9s %8s %8s %17s  %-28s %-4s %s\n", aside ? "  against " $2 : $2, $3,
            show($4), show($5), show($6), show($7), show($8), spread, target, aside ? "" : $13, others
    met += $13 == "yes"
    missed += $13 == "NO"
}
END { print ""; print met + 0 " targets met, " missed + 0 " missed" }' "$table"
echo "$table, $(($(date +%s) - started)) s"
exit $failed
