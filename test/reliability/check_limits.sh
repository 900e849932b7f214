#!/bin/sh
# SPDX-License-Identifier: MIT
# R13, R14, R15: the system's real limits on descriptors, threads and memory, and all of one kind
# refused for good, on the uses of R5 (test/reliability/limits.c).
. "${0%/*}/check.sh"
export TEST_VERBOSE=1 TEST_TIME_LIMIT=7200 LIMIT=7200

# Run the test $1; $count is how many runs it says there were.
count_runs() {
    run "$program" "$1"
    count=$(said '^#   [0-9]+ [a-z].* of them with an error' | tr -dc '0-9 ' | awk '{ print $1 }')
    : "${count:=0}"
    total=$((total + count))
    [ $status -eq 0 ] || bad=1
}

# One line: id, least, text.
tell() {
    [ "$total" -ge "$2" ] || bad=1
    line "$1" "$total" "$2" "$3" "$bad"
}

program limits
total=0 bad=0
LIMIT_STRIDE=1 count_runs r13_descriptors_in
LIMIT_ROUNDS=$(pick 20 400) count_runs r13_descriptors_that
middle=$(said '[0-9]+ times libevent' | cut -d ' ' -f 1)
tell R13 "$(pick 4000 10000)" \
    "runs at 3 to 24 descriptors, or while others take them (${middle:-0} in the middle of a base)"

total=0 bad=0
LIMIT_STRIDE=$(pick 13 1) count_runs r14_threads_at
count_runs r14_threads_of
count_runs r14_the_systems
tell R14 "$(pick 3000 6000)" "runs without a thread, nested 1 to 64 deep, or under ulimit -u"

total=0 bad=0
LIMIT_STEPS=$(pick 20 1000) LIMIT_STRIDE=$(pick 1 3) count_runs r15_address
LIMIT_STRIDE=$(pick 2 1) count_runs r15_no_memory
tell R15 "$(pick 8000 60000)" "runs at $(pick 20 1000) steps of ulimit -v, or without memory for good"

if [ "$MODE" = full ]; then
    program limits SAN=address
    total=0 bad=0
    LIMIT_STRIDE=3 count_runs r14_threads_at
    count_runs r14_threads_of
    LIMIT_STRIDE=3 count_runs r15_no_memory
    tell R15 4000 "the same without threads or memory, looking for leaks"
fi
finish
