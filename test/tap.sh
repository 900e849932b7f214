#!/bin/sh
# SPDX-License-Identifier: MIT
# Read by the test scripts: a line of TAP for each thing they try.
number=0 failed=0

report() { # status, name; what was said is in $work/said, and shown when it failed
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        failed=$((failed + 1))
        sed 's/^/#   /' "$work/said"
    fi
}
