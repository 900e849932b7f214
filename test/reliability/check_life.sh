#!/bin/sh
# SPDX-License-Identifier: MIT
# How a process lives with the library: R10 fork, R11 its end, R17 nested runs, R18 how many coroutines,
# R19 stacks that overflow.
. "${0%/*}/check.sh"
export TEST_VERBOSE=1
figure() {
    said "$1: [0-9-]+" | sed 's/.*: //'
}

LIMIT=$(pick 300 1800)
export TEST_TIME_LIMIT=$LIMIT

program forks CC=gcc
forks=$(pick 1000 100000)
FORKS=$forks run "$program"
us=$(figure 'us until a child has left')
[ "${us:-100000}" -lt 100000 ] || status=1
line R10 "$(figure forks) forks, a child leaves in ${us:-?} us" "$forks forks, 100 ms" \
    "forks with everything in flight: children end or work, the parent loses nothing" $status

# Here the children leave at once: malloc() of the sanitizer may be locked in them.
program forks CC=clang SAN=thread
forks=$(pick 300 3000)
FORKS=$forks run "$program"
line R10 "$(figure forks) forks" "$forks forks" \
    "the same under clang's thread sanitizer, children leave at once" $status

program ends CC=gcc
make_one CC=gcc "$place/libanysync.so.0" || broken "the shared library does not build"
export ANYSYNC_LIBRARY=$place/libanysync.so.0
times=$(pick 50 1000)
ENDS=$times run "$program"
ways=$(figure ways)
[ "${ways:-0}" -ge 14 ] || status=1
line R11 "$ways ways x $times, at most $(figure 'ms at most') ms" "14 x $times" \
    "ends of a busy process: in bounded time, with the right status" $status

program nested CC=gcc
DEEP=$(pick 10 2000) WIDE=$(pick 1 20) run "$program"
line R17 "$(figure 'nested runs'), $(figure 'threads at once') threads at once" "64 deep, 1,000 wide" \
    "nested runs from task, callback, generator, manager: threads are gone after $(figure \
        'us until the threads were gone') us" $status

program many CC=gcc
coroutines=$(pick 200000 1000000)
COROUTINES=$coroutines run "$program"
guarded=$(figure guarded)
allowed=$(figure 'memory allows')
what="coroutines alive at once, each guarded"
if [ "${allowed:-0}" -ge 200000 ] && [ "$allowed" -lt "$coroutines" ]; then
    coroutines=$allowed
    what="$what; there is no memory for more"
fi
# Without light guards the kernel's limit of mappings holds; the program has seen the clean error.
if [ "$(said 'guards: [a-z]+')" = "guards: light" ]; then
    [ "${guarded:-0}" -ge "$coroutines" ] || status=1
    what="$what (light guards, $(figure 'mappings for them') mappings)"
else
    what="$what (this kernel has no light guards; then -ENOMEM)"
fi
line R18 "${guarded:-?}" "$coroutines" "$what" $status
line R18 "$(figure 'older guards at once'); $(figure 'coroutines in 2 GiB')" "-ENOMEM, then it works" \
    "at the limit: guards that take mappings; 2 GiB of address space" $status

program overflows CC=gcc
run "$program"
shapes=$(figure shapes)
[ "${shapes:-0}" -ge 100 ] || status=1
line R19 "${shapes:-?}" "100" "shapes of overflow that end in the guard, with a sentence" $status
finish
