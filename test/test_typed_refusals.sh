#!/bin/sh
# SPDX-License-Identifier: MIT
# Wrong uses of typed functions (include/anysync/typed.h) must not compile, and the message must name
# the function or the argument.  The cases are in test/typed_refusals/wrong_uses.c; case 0 is correct
# and must compile.  CC is tried and clang too, if it is there.  Prints TAP.
set -u
cd "$(dirname "$0")/.." || exit 2
cases=test/typed_refusals/wrong_uses.c
message=$(mktemp) || exit 2
trap 'rm -f "$message"' EXIT
count=0 failed=0

report() { # ok or not ok, name
    count=$((count + 1))
    echo "$1 $count - $2"
    [ "$1" = ok ] || { failed=1; sed 's/^/# /' "$message" | head -n 20; }
}

# -S, as -fsyntax-only is too early for gcc to see that a code is not looked at.
compiles() { # compiler, case
    # shellcheck disable=SC2086  # CC may be several words
    LC_ALL=C $1 -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror -DCASE="$2" \
        -Iinclude -S -o /dev/null "$cases" >"$message" 2>&1
}

# The words are searched in what the compiler says, and in the line of code it shows first for it.
says_one_of() { # words
    for word in "$@"; do
        grep -A 1 -E ' (error|note):' "$message" | grep -qw -- "$word" && return
    done
    return 1
}

try_all() { # compiler
    command -v "${1%% *}" >/dev/null || return
    while IFS=' ' read -r case name words; do
        title="$1: $name"
        verdict='not ok'
        if compiles "$1" "$case"; then
            if [ "$case" = 0 ]; then verdict=ok; else title="$title: compiled"; fi
        elif [ "$case" != 0 ]; then
            # shellcheck disable=SC2086  # split the words
            if says_one_of $words; then verdict=ok; else title="$title: names none of: $words"; fi
        fi
        report "$verdict" "$title"
    done <<END
$(sed -nE 's,^#(el)?if CASE == ([0-9]+) +// ([a-z0-9_]+):?(.*),\2 \3\4,p' "$cases")
END
}

try_all "${CC:-gcc}"
case ${CC:-gcc} in
*clang*) try_all gcc ;;
*) try_all clang ;;
esac
echo "1..$count"
[ "$count" -gt 20 ] && exit "$failed"
echo "Bail out! hardly a case was tried"
exit 1
