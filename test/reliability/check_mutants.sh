#!/bin/sh
# SPDX-License-Identifier: MIT
# R4: mutants of the sources are killed, or waived in writing (test/virtual/mutate.py).  In CI as many
# as fit into two minutes, others at each commit; SEED= chooses them.
. "${0%/*}/check.sh"
: "${SEED:=$(git rev-parse --short HEAD 2>/dev/null || echo 1)}"
if [ "$MODE" = full ]; then
    LIMIT=36000 run python3 test/virtual/mutate.py
    least=500
else
    LIMIT=900 run python3 test/virtual/mutate.py --jobs 1 --seconds 120 --seed "$SEED"
    least=5
fi
figure=$(said '^[0-9]+ mutants: .*')
[ "$(echo "${figure:-0}" | cut -d ' ' -f 1)" -ge $least ] || status=1
line R4 "${figure:-none}" "$(pick "a sample, all killed or waived" "all killed or waived")" \
    "mutants (seed $(pick "$SEED" none))" "$status"
finish
