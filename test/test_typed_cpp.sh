#!/bin/sh
# SPDX-License-Identifier: MIT
# Typed functions (include/anysync/typed.h) in C++: test/typed_cpp.cc is compiled without a warning by
# every C++ compiler that is there, as C++11 and C++17; its wrong uses are refused; and its C and C++
# halves are linked and run, if LIBS names the library (make test does).  Prints TAP.
# shellcheck disable=SC2317  # the functions are called through expect
set -u
cd "$(dirname "$0")/.." || exit 2
source=test/typed_cpp.cc
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
: "${CC_PUBLIC:=${CC:-gcc} -std=c11 -D_POSIX_C_SOURCE=200809L -Iinclude -pthread}" "${LIBS:=}"
warnings='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
count=0 failed=0

# Expects a command to succeed (0) or to fail (1), for the test of that name.
expect() { # 0 or 1, name, command ...
    wanted=$1 name=$2
    shift 2
    count=$((count + 1)) status=0
    "$@" >"$work/log" 2>&1 || status=1
    if [ "$status" = "$wanted" ]; then
        echo "ok $count - $name"
    else
        failed=1
        echo "not ok $count - $name"
        sed 's/^/# /' "$work/log" | head -n 20
    fi
}

compile() { # compiler, standard, output, more ...
    cxx=$1 standard=$2 output=$3
    shift 3
    # shellcheck disable=SC2086  # split the warnings
    "$cxx" -std="$standard" -D_POSIX_C_SOURCE=200809L -Iinclude -pthread $warnings "$@" \
        -c "$source" -o "$output"
}

refuse() { # compiler, case, the word that the message must contain
    compile "$1" c++17 /dev/null -DREFUSE="$2" && return 0
    grep -qw -- "$3" "$work/log" || return 0
    return 1
}

link_and_run() { # compiler
    # shellcheck disable=SC2086  # CC_PUBLIC and LIBS are several words
    $CC_PUBLIC -x c -c "$source" -o "$work/half.c.o" &&
        "$1" -pthread "$work/half.c.o" "$work/half.cc.o" $LIBS -o "$work/program" &&
        timeout 60 "$work/program"
}

for cxx in g++ clang++; do
    command -v "$cxx" >/dev/null || continue
    expect 0 "$cxx: compiles as C++11" compile "$cxx" c++11 /dev/null
    expect 0 "$cxx: compiles as C++17" compile "$cxx" c++17 "$work/half.cc.o"
    while IFS=' :' read -r case name word; do
        expect 1 "$cxx: $name" refuse "$cxx" "$case" "$word"
    done <<END
$(sed -nE 's,^#(el)?if .*REFUSE == ([0-9]+) +// (.*),\2 \3,p' "$source")
END
    if [ -n "$LIBS" ]; then
        expect 0 "$cxx: two files in two languages share functions" link_and_run "$cxx"
    else
        count=$((count + 1))
        echo "ok $count - $cxx: two files in two languages share functions # SKIP no LIBS"
    fi
done
echo "1..$count"
[ "$count" -gt 0 ] || exit 77
exit "$failed"
