#!/bin/sh
# SPDX-License-Identifier: MIT
# R21: programs of operations, which libFuzzer writes, against models that say how each ends
# (test/fuzz/).  The data structures alone, and the library as a whole; each with the address and
# undefined-behaviour sanitizers, and faster without.
. "${0%/*}/check.sh"

# lib KIND WORDS...: the library for fuzzing, in $work/KIND.
lib() {
    kind=$1
    shift
    make_one CC=clang BUILD="$work/$kind" CFLAGS=-fsanitize=fuzzer-no-link "$@" \
        "$work/$kind/libanysync.a" || broken "the library does not build"
}

# target NAME KIND FLAGS SOURCES...: build $work/NAME-KIND.
target() {
    out=$work/$1-$2
    kind=$2
    flags=$3
    shift 3
    clang -std=c11 -D_POSIX_C_SOURCE=200809L -g -pthread -Wall -Wextra -Iinclude -Ilib $flags \
        -o "$out" "$@" "$work/$kind/libanysync.a" -levent_core -levent_pthreads \
        >>"$log" 2>&1 || broken "$out does not build"
}

executions=0
worst=0
# fuzz NAME COUNT FLAGS...: run COUNT programs; a corpus of its own is kept between runs.
fuzz() {
    name=$1
    count=$2
    shift 2
    mkdir -p "$work/corpus-${name%-*}"
    LIMIT=3000 run "$work/$name" -runs="$count" -print_final_stats=1 -artifact_prefix="$work/" -max_len=64 \
        -verbosity=0 -timeout=20 "$@" "$work/corpus-${name%-*}"
    done_now=$(said 'number_of_executed_units: [0-9]+' | grep -oE '[0-9]+$')
    executions=$((executions + ${done_now:-0}))
    echo "$name: ${done_now:-0} programs"
    [ "$status" -eq 0 ] || worst=$status
}

lib checked SAN=address OPT=-O1
lib fast
sanitizers="-O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"
for kind in checked fast; do
    flags=$sanitizers
    [ $kind = checked ] || flags="-O2 -fsanitize=fuzzer"
    target structures $kind "$flags" test/fuzz/fuzz_structures.c
    target calls $kind "$flags" test/fuzz/fuzz_calls.c test/fuzz/fuzz_objects.c
done

fuzz structures-checked "$(pick 400000 5000000)"
fuzz calls-checked "$(pick 30000 400000)"
fuzz calls-fast "$(pick 100000 3000000)"
# The most of them without counters: what has been seen is known by its edges, and that is quicker.
fuzz structures-fast "$(pick 9500000 150000000)" -use_counters=0 -reduce_inputs=0

least=$(pick 10000000 150000000)
[ "$executions" -ge "$least" ] || worst=1
line R21 "$executions" "$least" "programs of operations, each as its model says" "$worst"
finish
