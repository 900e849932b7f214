#!/bin/sh
# SPDX-License-Identifier: MIT
# docs/from-python.md keeps what it says: each piece of C stands in the example that is named above
# it, each example of a project is shown, and the tables name each test of test/test_seeds_*.c, all
# of them and no others.
#
#   sh test/test_seeds_page.sh                   TAP on standard output
set -u
cd "$(dirname "$0")/.." || exit 2
page=docs/from-python.md
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
. test/tap.sh

# Every C block, against the file of the last link to examples/ before it.  What the page adds for
# test_snippets.sh, a first line "// (continued below)", is left out.
awk '
    function whole(file,    text, line) {
        text = "\n"
        while ((getline line < file) > 0) text = text line "\n"
        close(file)
        return text
    }
    match($0, /\]\(examples\/[a-z_]+\.[ch]\)/) {
        file = "docs/" substr($0, RSTART + 2, RLENGTH - 3)
    }
    /^```c$/            { inside = 1; block = ""; start = FNR; next }
    /^```$/ && inside   { inside = 0
                          text = whole(file)
                          print (index(text, "\n" block) ? "ok" : "not"), start, file; next }
    inside && !/^\/\/ \(continued below\)$/ { block = block $0 "\n" }' "$page" >"$work/blocks"
while read -r verdict line file; do
    [ "$verdict" = ok ] || echo "the block is not in $file" >"$work/said"
    [ "$verdict" = ok ]
    report $? "$page:$line is in $file"
done <"$work/blocks"

for project in anysync nsync smartasync asyncer; do
    for file in docs/examples/"$project"_*.c; do
        grep -q " docs/examples/${file##*/}\$" "$work/blocks" || echo "$file is not shown"
        [ -e "${file%.c}.expected" ] || echo "$file has no .expected"
    done >"$work/said"
    [ ! -s "$work/said" ]
    report $? "$page shows each example of $project"

    # The rows of the table below the line that names the test file.
    sed -n 's/^TEST(\([a-z0-9_]*\))$/\1/p' "test/test_seeds_$project.c" | sort >"$work/tests"
    awk -v file="test_seeds_$project.c" '
        /^#/                { mine = 0 }
        index($0, file)     { mine = 1 }
        mine && /^\| `/     { split($0, part, "`"); print part[2] }' "$page" | sort >"$work/rows"
    diff -u "$work/tests" "$work/rows" >"$work/said"
    report $? "$page has a row for each test of $project"
done
echo "1..$number"
[ $failed -eq 0 ]
