#!/bin/sh
# SPDX-License-Identifier: MIT
# R5: the system refuses at each point of each use of the library, once and from then on, and two
# refusals; under an address sanitizer, which finds leaks, and without (test/reliability/faults.c).
. "${0%/*}/check.sh"
export TEST_VERBOSE=1 TEST_TIME_LIMIT=7200
program faults SAN=address
FAULT_POINTS=$(pick 2000 12000) LIMIT=7200 run "$program"
reached=$(said '[0-9]+ points refused' | cut -d ' ' -f 1)
least=$(pick 2000 12000)
[ "${reached:-0}" -ge "$least" ] || status=1
line R5 "${reached:-0}" "$least" "refusals survived, looking for leaks" "$status"

program faults
FAULT_POINTS=$(pick 8000 0) FAULT_PAIRS=$(pick 2000 20000) LIMIT=7200 run "$program"
reached=$(said '[0-9]+ points refused' | cut -d ' ' -f 1)
least=$(pick 10000 50000)
[ "${reached:-0}" -ge "$least" ] || status=1
line R5 "${reached:-0}" "$least" "refusals survived, one, all, or two" "$status"
finish
