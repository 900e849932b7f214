#!/bin/sh
# SPDX-License-Identifier: MIT
# docs/memory.md tells of every atomic access in lib/thread, and of none that is not there.
#
#   A heading "## lib/thread/a.h, lib/thread/a.c" opens the section of these files.  In it each access
#   has an item that begins "- ", names the function in backquotes, and after a colon the access with
#   its order: load acquire; store relaxed; CAS release, acquire.  Numbers (M1) stand before the name.
#
#   sh test/test_memory_doc.sh [PAGE [FOLDER]]        TAP on standard output, then the sum
set -u
cd "$(dirname "$0")/.." || exit 2
page=${1:-docs/memory.md} folder=${2:-lib/thread}
number=0 failed=0
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# is_empty NAME FILE: one TAP line; what is in FILE should not be.
is_empty() {
    number=$((number + 1))
    if [ ! -s "$2" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        failed=$((failed + 1))
        sed 's/^/#   /' "$2"
    fi
}

# "file function access order", one line for each place in the sources.  Comments are taken away; a
# function is what stands before the first parenthesis of a line that begins in column 0.
accesses() {
    awk '
        function end_of(text, at,   depth, c) { # of the arguments that open at AT
            for (depth = 0; at <= length(text); at++) {
                c = substr(text, at, 1)
                if (c == "(") depth++
                if (c == ")" && --depth == 0) return at
            }
            return 0
        }
        function orders(list,   part, n) {
            n = split(list, part, /, */)
            return kind ~ /^cas/ ? part[n - 1] ", " part[n] : part[n]
        }
        function uncomment(line,   at, code) {
            for (code = ""; line != ""; ) {
                at = index(line, inside ? "*/" : "/*")
                if (!inside) code = code (at ? substr(line, 1, at - 1) : line)
                if (!at) break
                line = substr(line, at + 2)
                inside = !inside
            }
            return code
        }
        FNR == 1 { inside = 0; held = "" }
        {
            text = held uncomment($0)
            held = ""
            if (text ~ /^[A-Za-z].*\(/) {
                name = text
                sub(/\(.*/, "", name)
                sub(/.*[ *]/, "", name)
            }
            rest = text
            while (match(rest, /asi_(load|store|exchange|add|sub|or|and|cas_weak|cas_strong)\(/)) {
                kind = substr(rest, RSTART + 4, RLENGTH - 5)
                last = end_of(rest, RSTART + RLENGTH - 1)
                if (!last) { held = text " "; break } # goes on in the next line
                arguments = substr(rest, RSTART + RLENGTH, last - RSTART - RLENGTH)
                found[++count] = FILENAME " " name " " (kind ~ /^cas/ ? "CAS" : kind) " " orders(arguments)
                rest = substr(rest, RSTART + RLENGTH) # one may be an argument of another
            }
            if (held == "") for (i = 1; i <= count; i++) print found[i]
            count = 0
        }' $(ls "$folder"/*.[ch] | grep -v '/atomic\.h$') | sort -u
}

# The same from the page: each item stands for all files of its section.
items() {
    awk '
        function finish(   name, access, i) {
            if (item ~ /^- .*`[a-z_]+`: /) {
                name = access = item
                sub(/`: .*/, "", name)
                sub(/.*`/, "", name)
                sub(/^[^`]*`[a-z_]+`: /, "", access)
                sub(/\..*/, "", access)
                if (access ~ /^CAS/) match(access, /^CAS [a-z_]+, [a-z_]+/)
                else match(access, /^[a-z]+ [a-z_]+/)
                for (i = 1; i <= files; i++)
                    print file[i] " " name " " substr(access, 1, RLENGTH)
            }
            item = ""
        }
        /^## /       { finish(); files = /^## lib\// ? split(substr($0, 4), file, /, */) : 0; next }
        /^- /        { finish(); item = $0; next }
        /^  /        { if (item != "") item = item " " substr($0, 3); next }
                     { finish() }
        END          { finish() }' "$page" | sort -u
}

accesses >"$work/accesses"
items >"$work/items"
if [ ! -s "$work/accesses" ]; then
    echo "no atomic access was found in $folder" >"$work/said"
fi
: >>"$work/said"
is_empty "there is something to compare" "$work/said"

cut -d ' ' -f 1 "$work/accesses" | sort -u | while read -r file; do
    grep '^## ' "$page" | tr ' ,' '\n\n' | grep -qx "$file" || echo "no section for $file"
done >"$work/said"
is_empty "each file with an atomic has its section" "$work/said"

grep '^## lib/' "$page" | cut -c 4- | tr -d ' ' | tr ',' '\n' | while read -r file; do
    [ -e "$file" ] || echo "a section for $file, which does not exist"
done >"$work/said"
is_empty "each section has its files" "$work/said"

comm -23 "$work/accesses" "$work/items" >"$work/said"
is_empty "each access is told, with its order" "$work/said"

# An item of a section with two files is in one of them: compare without the file.
cut -d ' ' -f 2- "$work/accesses" | sort -u >"$work/known"
cut -d ' ' -f 2- "$work/items" | sort -u | comm -23 - "$work/known" >"$work/said"
is_empty "nothing is told that is not there" "$work/said"

# Numbers: those of the sources' comments on order, and those of the page.
grep -ohwE '[BMCWDR][0-9]+' "$folder"/*.[ch] | sort -u >"$work/used"
sed -n '/^## lib\//,/^## Locks/p' "$page" | grep -owE '[BMCWDR][0-9]+' | sort -u >"$work/told"
comm -3 "$work/used" "$work/told" >"$work/said"
is_empty "numbers are the same in the sources and on the page" "$work/said"

echo "1..$number"
echo "$((number - failed)) passed, $failed failed"
[ $failed -eq 0 ]
