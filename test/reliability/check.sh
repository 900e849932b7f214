#!/bin/sh
# SPDX-License-Identifier: MIT
# Read by each check of the scoreboard, check_NAME.sh: where it works, how it builds, how it tells.
#
# A check fills one or more lines of the table.  It uses one processor, for the runner runs several
# checks at once; what it builds by itself lies in $work.  MODE says how much it may take: ci (a few
# minutes) or full (hours).
#
#   . "${0%/*}/check.sh"
#   program faults CC=gcc SAN=address       # test/reliability/faults.c, built; its path is in $program
#   run "$program" "$(pick 2000 50000)"     # its output goes to the log; $status is how it ended
#   line R5 "$(said '[0-9]* places')" "2,000" "every call survives a refusal" $status
#   finish
set -u
cd "${0%/*}/../.." || exit 2
: "${MODE:=ci}"
name=${0##*/check_}
name=${name%.sh}
work=build/reliability/$name
table=build/reliability/$name.tsv
log=$work/log
mkdir -p "$work"
: >"$table"
: >"$log"
check_failed=0

export TSAN_OPTIONS="halt_on_error=0:die_after_fork=0:exitcode=66:second_deadlock_stack=1:atexit_sleep_ms=10"
export ASAN_OPTIONS="detect_stack_use_after_return=1"
export UBSAN_OPTIONS="print_stacktrace=1"
# That of a make around us speaks of a jobserver that is none of ours.
unset MAKEFLAGS
# Sanitizers need a quiet address space; where setarch is forbidden they have to do without.
fixed=
setarch "$(uname -m)" -R true 2>/dev/null && fixed="setarch $(uname -m) -R"

# The first of two in CI, the second in a full run.
pick() {
    [ "$MODE" = full ] && echo "$2" || echo "$1"
}

# Make TARGET in one kind of build (CC=, SAN=, RACE=, OPT= ...); only one check builds at a time.
make_one() {
    flock build/reliability/lock make --no-print-directory -s -j "$(nproc)" "$@" >>"$log" 2>&1
}

# Build test/reliability/$1.c (or the test program test/$1.c) in the kind of build that the other
# words name; $program is what came of it.  Ends the check if it does not build.
program() {
    program=$1
    shift
    place=$(make --no-print-directory -s "$@" print-build)
    case $program in
    test_*) program=$place/test/$program ;;
    *) program=$place/test/reliability/$program ;;
    esac
    make_one "$@" "$program" || broken "$program does not build"
}

# What cannot pass on some platform, or under some tool, with the reasons.
waived=test/reliability/platforms.waived

# The tests of program $2 that run on platform $1, by name; nothing if none is waived.  What is
# waived goes to $work/skipped.
names() {
    awk -v platform="$1" -v program="$2" '$1 == platform && $2 == program { print $3 }' $waived \
        >"$work/not"
    [ -s "$work/not" ] || return
    $under "$place/test/$2" --list >"$work/list" 2>>"$log"
    grep -qx '\*' "$work/not" && cp "$work/list" "$work/not"
    grep -Fxf "$work/not" "$work/list" >>"$work/skipped"
    grep -vFxf "$work/not" "$work/list" || echo none
}

# Run a command, with its output in the log and its status in $status; at most LIMIT seconds (600).
run() {
    timeout -k 10 "${LIMIT:-600}" $fixed "$@" >"$work/said" 2>&1 </dev/null
    status=$?
    cat "$work/said" >>"$log"
    [ $status -eq 0 ] || tail -n 30 "$work/said"
}

# The last match of a regular expression in what the last command said.
said() {
    grep -oE -- "$1" "$work/said" | tail -n 1
}

# One line of the table: id, what was reached, what is asked for, what it is about, 0 if it is met.
line() {
    verdict=ok
    [ "$5" -eq 0 ] || verdict=FAILED check_failed=1
    printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" $verdict | tee -a "$table"
}

# A check that cannot go on: says why, and fails.
broken() {
    line "$name" "-" "-" "$1" 1
    tail -n 20 "$log"
    exit 1
}

finish() {
    exit $check_failed
}
