#!/bin/sh
# SPDX-License-Identifier: MIT
# R1: the library on virtual threads, in more than 50 million orders (test/virtual/virtual.h).
. "${0%/*}/check.sh"
make_one VIRTUAL=plain build/virtual-plain/virtual || broken "the virtual machine does not build"
make_one VIRTUAL=races build/virtual-races/virtual || broken "the virtual machine does not build"
LIMIT=$(pick 1500 36000) run sh test/virtual/run.sh build/virtual-plain build/virtual-races \
    "$(pick 120000 450000)"
orders=$(said '^[0-9]+ orders' | cut -d ' ' -f 1)
least=$(pick 50000000 200000000)
[ "${orders:-0}" -ge "$least" ] || status=1
line R1 "$orders" "$least" "orders of virtual threads without a failure" "$status"
finish
