#!/bin/sh
# SPDX-License-Identifier: MIT
# Futures in C++20 (include/anysync/future.hpp): test/cpp20.cc is compiled without a warning by every
# C++ compiler that is there and knows C++20, and run, if LIBS names the library (make test does).
# Prints TAP.
set -u
cd "$(dirname "$0")/.." || exit 2
: "${LIBS:=}"
[ -n "$LIBS" ] || { echo "1..0 # SKIP no library was named"; exit 77; }
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
. test/tap.sh

for cxx in g++ clang++; do
    command -v $cxx >/dev/null || continue
    echo 'int main() {}' | $cxx -x c++ -std=c++20 -fsyntax-only - 2>/dev/null || continue
    # shellcheck disable=SC2086  # split LIBS
    $cxx -std=c++20 -D_POSIX_C_SOURCE=200809L -Iinclude -pthread -O1 -g -Wall -Wextra -Wpedantic \
        -Wshadow -Wconversion -Werror test/cpp20.cc -o "$work/$cxx" $LIBS >"$work/said" 2>&1
    report $? "$cxx compiles it without a warning"
    [ -x "$work/$cxx" ] || continue
    "$work/$cxx" >"$work/said" 2>&1 && [ "$(grep -c '^ok' "$work/said")" -eq 5 ]
    report $? "compiled by $cxx it runs"
done
echo "1..$number"
[ $failed -eq 0 ]
