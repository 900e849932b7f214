#!/bin/sh
# SPDX-License-Identifier: MIT
# R27: bugs that other runtimes have had, as named tests (test/test_history_*.c), plain, under the
# address sanitizer and clang's thread sanitizer; in a full run also optimized across files, with
# wider race windows, and by the other compiler.
#
# A bug counts that passed at least once, and failed nowhere.  (What only a sanitizer can show is
# skipped elsewhere.)
. "${0%/*}/check.sh"

files="test_history_wakes test_history_ends test_history_system test_history_stacks"
results=$work/results
: >"$results"
worst=0

# In one kind of build, that the words name.
history() {
    limit=$(pick 100 400)
    for file in $files; do
        program "$file" "$@"
        TEST_SCALE=$(case $* in *SAN* | *RACE*) echo $((limit / 4)) ;; *) echo "$limit" ;; esac)
        export TEST_SCALE
        run "$program" --repeat "$(pick 1 5)" history
        grep -E '^(not )?ok [0-9]' "$work/said" >>"$results"
        [ "$status" -eq 0 ] || worst=$status
    done
}

history CC=gcc
history CC=gcc SAN=address
history CC=clang SAN=thread
if [ "$MODE" = full ]; then
    history CC=gcc RACE=1
    history CC=clang SAN=address
    history CC=gcc BUILD=build/reliability/history/lto OPT=-O3 CFLAGS=-flto=1 LDFLAGS=-flto=1 \
        AR=gcc-ar
fi

passed=$(sed -nE '/# SKIP/d; s/^ok [0-9]+ - (history_[0-9]+)_.*/\1/p' "$results" | sort -u)
failed=$(sed -nE 's/^not ok [0-9]+ - (history_[0-9]+)_.*/\1/p' "$results" | sort -u)
good=0
for number in $(seq -w 1 25); do
    case " $(echo $failed) " in
    *" history_$number "*) echo "history_$number failed" ;;
    *)
        case " $(echo $passed) " in
        *" history_$number "*) good=$((good + 1)) ;;
        *) echo "history_$number did not run" ;;
        esac
        ;;
    esac
done
[ "$good" -eq 25 ] || worst=1
echo "$(grep -c '^ok.*# run' "$results") runs passed, $(grep -c '# SKIP' "$results") skipped"
line R27 "$good of 25" 25 "bugs of other runtimes as tests, without and with sanitizers" "$worst"
finish
