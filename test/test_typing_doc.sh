#!/bin/sh
# SPDX-License-Identifier: MIT
# docs/typing.md tells what the compilers say of each wrong use.  Here each is compiled, and must fail
# with a message that names the word the page says it names; where the compiler is of the version
# the page was written with, each line that the page shows must be among what it says.
#
#   Wrong, `word`:          the next ```text block is the wrong code: statements of a function
#   gcc: or clang:          the next ```text block has lines of the message
#
# Definitions are the ```c blocks of the page.  Prints TAP.
set -u
cd "$(dirname "$0")/.." || exit 2
page=docs/typing.md
gcc_shown=12 clang_shown=14 # the versions of the messages in the page
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
. test/tap.sh

# $work/definitions.c; for each wrong use $work/N.word, N.code, N.gcc, N.clang
awk -v work="$work" '
    !inside && /^Wrong, `.*`:$/ { n++; word = $0; gsub(/^[^`]*`|`.*$/, "", word)
                                  print word >(work "/" n ".word"); next_block = "code" }
    !inside && /^(gcc|clang):$/ { next_block = substr($0, 1, length($0) - 1) }
    !inside && /^```/           { inside = 1
                                  file = $0 == "```c" ? work "/definitions.c" : \
                                         next_block != "" ? work "/" n "." next_block : ""
                                  next_block = ""; next }
    inside && /^```$/           { inside = 0; next }
    inside && file != ""        { print >file }' "$page"

# Without quotes of any kind, blanks at the ends, and the name of the warning.
plain() {
    sed -e "s/[‘’']/'/g" -e 's/ \[-W.*\]$//' -e 's/^[ 0-9]*| //' -e 's/^[^ ]*:[0-9]*:[0-9]*: //' \
        -e 's/^ *//; s/ *$//' "$1"
}

try() { # compiler, its name, the version the page shows
    version=$($1 -dumpversion | sed 's/\..*//')
    for code in "$work"/[0-9]*.code; do
        use=${code%.code}
        {
            printf '#include <anysync.h>\n#include <stdlib.h>\n'
            cat "$work/definitions.c"
            printf 'int use(void);\nint use(void)\n{\nint error = 0;\nint sum = 0;\n(void)sum;\n'
            cat "$code"
            printf 'return error;\n}\n'
        } >"$work/wrong.c"
        # shellcheck disable=SC2086  # the compiler may be several words
        if LC_ALL=C.UTF-8 $1 -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wno-unused-variable -Werror -Iinclude \
            -S -o /dev/null "$work/wrong.c" >"$work/raw" 2>&1; then
            echo "it compiles: $(cat "$code")" >"$work/said"
            report 1 "$2: $(cat "$use.word") in $(head -n 1 "$code")"
            continue
        fi
        plain "$work/raw" >"$work/message"
        : >"$work/said"
        grep -qw -- "$(cat "$use.word")" "$work/message" ||
            echo "the message does not name $(cat "$use.word")" >>"$work/said"
        if [ "$version" = "$3" ]; then
            plain "$use.$2" | grep -v '^[ ~^]*$' | while read -r line; do
                grep -qF -- "$line" "$work/message" || echo "it does not say: $line"
            done >>"$work/said"
        fi
        [ -s "$work/said" ]
        status=$((1 - $?))
        cat "$work/message" >>"$work/said"
        report $status "$2: $(cat "$use.word") in $(head -n 1 "$code")"
    done
}

{
    printf '#include <anysync.h>\n#include <stdlib.h>\n'
    cat "$work/definitions.c"
} >"$work/right.c"
${CC:-gcc} -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wno-unused-variable -Werror -Iinclude -fsyntax-only \
    "$work/right.c" >"$work/said" 2>&1
report $? "the definitions compile"
try gcc gcc $gcc_shown
! command -v clang >/dev/null || try clang clang $clang_shown
echo "1..$number"
echo "$((number - failed)) passed, $failed failed"
[ "$number" -gt 8 ] && [ $failed -eq 0 ]
