#!/bin/sh
# SPDX-License-Identifier: MIT
# R12: all that waits, in a storm of signals on each thread (test/reliability/interrupts.c).
. "${0%/*}/check.sh"
export TEST_VERBOSE=1 TEST_TIME_LIMIT=7200 LIMIT=7200
program interrupts
STORM_TASKS=$(pick 1000000 20000000) STORM_SIGNALS=$(pick 200000 5000000) run "$program"
tasks=$(said '[0-9]+ tasks' | cut -d ' ' -f 1)
signals=$(said '[0-9]+ signals' | cut -d ' ' -f 1)
rate=$(said '[0-9.]+ kHz in all')
least=$(pick 1000000 20000000)
[ "${tasks:-0}" -ge "$least" ] || status=1
line R12 "${tasks:-0}" "$least" \
    "tasks in a storm of signals (${signals:-0} on threads of the library, ${rate:-?})" "$status"
finish
