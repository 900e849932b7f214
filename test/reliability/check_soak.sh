#!/bin/sh
# SPDX-License-Identifier: MIT
# R16: millions of mixed tasks leave nothing behind.  R22: the hunt for lost wakes.
. "${0%/*}/check.sh"
export TEST_VERBOSE=1
figure() {
    said "$1: [0-9-]+" | sed 's/.*: //'
}

program soak CC=gcc
LIMIT=$(pick 300 1800)
export TEST_TIME_LIMIT=$LIMIT
tasks=$(pick 2500000 20000000)
SOAK_TASKS=$tasks run "$program"
drift=$(figure 'drift in KiB')
line R16 "$(figure tasks) tasks, drift ${drift:-?} KiB, $(figure 'drift in mappings') mappings" \
    "$tasks tasks, drift < 1024 KiB" \
    "mixed tasks leave no memory, descriptor or thread behind ($(figure restarts) restarts)" $status

program wakes CC=gcc
handovers=$(pick 5000000 40000000)
HANDOVERS=$handovers run "$program"
line R22 "$(figure hand-overs)" "$handovers" \
    "hand-overs without a lost wake: windows 1, 2, 16, 1-8 producers, $(figure processors) processors" \
    $status
finish
