#!/bin/sh
# SPDX-License-Identifier: MIT
# Every piece of C in README.md and docs/ compiles, and what is a program runs and says what the page
# says it does.  The convention for pages:
#
#   ```c      with `int main(`: a whole program, compiled, linked and run; it must exit 0 within a
#             minute.  If the next block is ```text and the last line before it is "Output:", that
#             block is what the program prints.
#   ```c      without: declarations and functions, compiled only.  <anysync.h>, <errno.h>, <stdio.h>,
#             <stdlib.h> and <string.h> are there already, and so are the earlier blocks of the
#             same page that say so in their first line: // (continued below)
#   ```sh, ```text, ```make, ```mermaid   neither compiled nor run
#
# Any other fence, and one without a word, is refused: no C gets past the compiler.
#
#   [BUILD=build/gcc] [CC=gcc] sh test/test_snippets.sh [PAGE ...]        TAP on standard output
set -u
cd "$(dirname "$0")/.." || exit 2
: "${BUILD:=build/gcc}" "${CC:=gcc}"
: "${CC_PUBLIC:=$CC -std=c11 -D_POSIX_C_SOURCE=200809L -Iinclude -O1 -g -pthread -Wall -Wextra}"
: "${LIBS:=$BUILD/libanysync.a -levent_core -levent_pthreads}"
[ $# -gt 0 ] || set -- $(ls README.md 2>/dev/null; find docs -name '*.md' | sort)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
. test/tap.sh

# Write each block of page $1 to $work/LINE.c (and what it prints to LINE.expected), and list them in
# $work/list as "LINE program|part|refused WORD".
extract() {
    awk -v work="$work" '
        function finish()   { if (kind != "") print start, kind >(work "/list"); close(file) }
        !inside && /^[ ]*```/ {
            inside = 1; start = FNR; word = $0; sub(/^[ ]*```[ ]*/, "", word)
            kind = file = ""
            if (word == "c") { kind = "part"; file = work "/" FNR ".c"; printf "" >file; c = FNR }
            else if (word == "text" && said ~ /Output:$/ && c) { file = work "/" c ".expected"; c = 0
                                                                printf "" >file }
            else if (word !~ /^(sh|text|make|mermaid)$/) kind = "refused " word
            if (word != "c") c = 0
            next
        }
        inside && /^[ ]*```[ ]*$/ { inside = 0; said = ""; finish(); next }
        inside { if (file != "") print >file; if (kind == "part" && /int main\(/) kind = "program"; next }
        NF { said = $0 }
        END { if (inside) print start, "refused open block" >(work "/list") }' "$1"
}

run_program() { # LINE, page
    $CC_PUBLIC -Wno-unused "$work/$1.c" -o "$work/program" $LIBS || return
    timeout -k 5 60 "$work/program" >"$work/printed" || { echo "exit status $?" && return 1; }
    [ ! -e "$work/$1.expected" ] || diff -u "$work/$1.expected" "$work/printed"
}

compile_part() { # LINE; the blocks that are continued come first
    printf '#include <%s.h>\n' anysync errno stdio stdlib string >"$work/part.c"
    for earlier in $continued $1; do
        printf '#line 1 "block at line %d"\n' "$earlier"
        cat "$work/$earlier.c"
    done >>"$work/part.c"
    $CC_PUBLIC -Wno-unused -fsyntax-only "$work/part.c"
}

for page in "$@"; do
    rm -f "$work"/*
    : >"$work/list"
    extract "$page"
    continued=
    while read -r line kind word; do
        case $kind in
        program) run_program "$line" >"$work/said" 2>&1 ;;
        part)
            compile_part "$line" >"$work/said" 2>&1
            ;;
        refused)
            echo "a block must be one of c, sh, text, make, mermaid, not: '$word'" >"$work/said"
            false
            ;;
        esac </dev/null
        report $? "$page:$line ($kind)"
        head -n 1 "$work/$line.c" 2>/dev/null | grep -qF '// (continued below)' &&
            continued="$continued $line"
    done <"$work/list"
done
echo "1..$number$([ $number -gt 0 ] || echo ' # SKIP no page has C')"
[ $failed -eq 0 ]
