#!/bin/sh
# SPDX-License-Identifier: MIT
# The scoreboard: run the checks, as many at once as there are processors, and put their lines into
# one table.  Ends in "N lines, N failed".
#
#   run.sh ci|full [CHECK...]
#
# A check is a script check_NAME.sh beside this one; without names all run, in the order that the file
# `order` gives.  What each said is in build/reliability/NAME/log, and shown if it failed; the table is
# in build/reliability/table.tsv.  What a full run says goes into docs/reliability.md.
set -u
cd "${0%/*}/../.." || exit 2
mode=$1
shift
mkdir -p build/reliability
if [ $# -eq 0 ]; then
    # Those that take longest begin first.
    set -- $(cat test/reliability/order)
fi
rm -f build/reliability/*.tsv build/reliability/*.time
began=$(date +%s)

for name in "$@"; do
    echo "$name"
done | MODE=$mode xargs -P "$(nproc)" -I NAME sh -c '
    begin=$(date +%s)
    sh test/reliability/check_NAME.sh >build/reliability/NAME.out 2>&1
    status=$?
    [ $status -eq 0 ] || [ -s build/reliability/NAME.tsv ] ||
        printf "NAME\t-\t-\tended with %d\tFAILED\n" $status >build/reliability/NAME.tsv
    echo $(($(date +%s) - begin)) >build/reliability/NAME.time
    sed "s/^/NAME: /" build/reliability/NAME.out
    echo "NAME: $(cat build/reliability/NAME.time) s"'

table=build/reliability/table.tsv
cat build/reliability/*.tsv | sort -t "$(printf '\t')" -V >"$table.new"
mv "$table.new" "$table"
echo
awk -F '\t' '{ printf "%-4s %-7s %s: %s (asked for: %s)\n", $1, $5, $4, $2, $3 }' "$table"
# Again, what those that failed said: a log is read from its end.
for name in $(grep -l 'FAILED$' build/reliability/[a-z]*.tsv | grep -v "$table"); do
    name=$(basename "$name" .tsv)
    tail -n 30 "build/reliability/$name.out" | sed "s/^/$name: /"
done
lines=$(wc -l <"$table")
failed=$(grep -c 'FAILED$' "$table")
[ "$mode" = ci ] || python3 test/reliability/document.py build/reliability docs "$@"
echo "$lines lines, $failed failed, $((($(date +%s) - began) / 60)) min"
[ "$failed" -eq 0 ]
