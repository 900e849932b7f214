#!/bin/sh
# SPDX-License-Identifier: MIT
# The library once more with ucontext in place of our own switch, as on processors we have no
# assembly for: it builds, and the tests that depend most on coroutines pass.
set -u
cd "$(dirname "$0")/.." || exit 2
: "${CC:=cc}"
build=build/ucontext
tests="coro values values_endings cancel timeouts overflow where"
programs=$(for name in $tests; do echo "$build/test/test_$name"; done)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
. test/tap.sh

echo "1..$(($(echo "$tests" | wc -w) + 1))"
# shellcheck disable=SC2086  # several words on purpose
make --no-print-directory CC="$CC" BUILD=$build CFLAGS=-DASI_UCONTEXT $programs >"$work/said" 2>&1
report $? it_builds
for name in $tests; do
    "$build/test/test_$name" >"$work/said" 2>&1
    report $? "$name"
done
[ "$failed" -eq 0 ]
