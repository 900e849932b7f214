#!/bin/sh
# SPDX-License-Identifier: MIT
# The library once more as a debug build, which reports coroutines that hold a pthread mutex while they
# suspend: it does, through the shared library too, and its tests that suspend most have nothing to be
# reported.
set -u
cd "$(dirname "$0")/.." || exit 2
: "${CC:=cc}"
build=build/debug
tests="held values cancel mutex generators channel offload streams"
programs=$(for name in $tests; do echo "$build/test/test_$name"; done)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
. test/tap.sh

says_nothing() { # a test that passes, and of which nothing was reported
    "$build/test/test_$1" >"$work/said" 2>&1 && ! grep 'pthread mutex' "$work/said"
}

cat >"$work/bug.c" <<'END'
#include <anysync.h>

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

ANYSYNC_COROUTINE(void, careless)
{
    pthread_mutex_lock(&mutex);
    int error = anysync_yield();
    pthread_mutex_unlock(&mutex);
    return error;
}

int main(void)
{
    return careless_run();
}
END

shared_library_reports() {
    $CC -std=c11 -D_POSIX_C_SOURCE=200809L -Iinclude "$work/bug.c" -o "$work/bug" -L$build -lanysync \
        -pthread >"$work/said" 2>&1 &&
        LD_LIBRARY_PATH=$build "$work/bug" >"$work/said" 2>&1 &&
        grep -q 'task "careless" suspends while it holds the pthread mutex' "$work/said"
}

echo "1..$(($(echo "$tests" | wc -w) + 2))"
# shellcheck disable=SC2086  # several words on purpose
make --no-print-directory CC="$CC" BUILD=$build DEBUG=1 $build/libanysync.so $programs >"$work/said" 2>&1
report $? it_builds
for name in $tests; do
    says_nothing "$name"
    report $? "$name"
done
shared_library_reports
report $? the_shared_library_reports
[ "$failed" -eq 0 ]
