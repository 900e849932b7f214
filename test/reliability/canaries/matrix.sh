#!/bin/sh
# SPDX-License-Identifier: MIT
# The bugs of bugs.c, or those named, under each tool.  Prints a line for each: the bug, and for each
# tool whether it fired.
#
#   matrix.sh WORK [BUG...]       WORK has the programs: WORK/bugs.TOOL (see tools below)
#
#   fired    as expected          fired+   though it need not     MISSED   though it has to
#   -        silent, as expected  LIES     the program without a bug was reported
#
# Ends in "N bugs, N tools, N cells expected, N fired, N missed, N lies".
set -u
work=$1
shift
here=${0%/*}
source=$here/bugs.c
export TSAN_OPTIONS="halt_on_error=0:die_after_fork=0:exitcode=66:second_deadlock_stack=1:atexit_sleep_ms=10"
export ASAN_OPTIONS="detect_stack_use_after_return=1:fast_unwind_on_malloc=0"
export UBSAN_OPTIONS="print_stacktrace=1"
export MSAN_OPTIONS="exit_code=77"
fixed=
setarch "$(uname -m)" -R true 2>/dev/null && fixed="setarch $(uname -m) -R"

# The tools, and what the program and the library were built with.  A plain library: the user's
# program alone has the sanitizer.
: "${tools:=plain gcc-asan gcc-asan-both clang-asan clang-asan-both clang-tsan clang-msan memcheck helgrind
    gcc-asan-shared clang-asan-shared clang-lsan}"
asan="gcc-asan gcc-asan-both clang-asan clang-asan-both gcc-asan-shared clang-asan-shared"
both="gcc-asan-both clang-asan-both"

# Who has to say so.
expected() {
    case $1 in
    heap_use_after_free | heap_overflow | double_free | free_of_stack) echo "$asan memcheck" ;;
    use_after_return) echo "$asan memcheck" ;;
    stack_overflow_of_array | use_after_scope) echo "$asan" ;;
    stack_of_the_dead) echo "$asan memcheck" ;;
    uninitialized_*) echo "clang-msan memcheck" ;;
    leak | leak_of_an_exit | leak_of_a_future) echo "$asan memcheck" ;;
    race_*) echo "clang-tsan helgrind" ;;
    lock_order) echo "clang-tsan helgrind" ;;
    signed_overflow | large_shift) echo "$asan" ;;
    guard) echo "plain $asan" ;;
    double_unref) echo "plain $asan memcheck" ;;
    future_after_unref) echo "$both memcheck" ;;
    waits_for_itself | wait_for_each_other) echo "$tools" ;;
    esac
}

# What the report has to say, beside the line; nothing: the line is enough.
says() {
    case $1.$2 in
    guard.*) echo 'anysync: the stack of task "guard"' ;;
    double_unref.plain | double_unref.*-asan | double_unref.*-asan-shared) echo "unref'd more often" ;;
    waits_*) echo 'task "waits" waits for itself' ;;
    wait_for_*) echo 'could never end: task "waits" waits for task' ;;
    esac
}

run() {
    case $2 in
    memcheck) set -- "$1" "$2" valgrind -q --leak-check=full --show-leak-kinds=definite \
        --errors-for-leak-kinds=definite --error-exitcode=9 ;;
    helgrind) set -- "$1" "$2" valgrind -q --tool=helgrind --error-exitcode=9 ;;
    plain) set -- "$1" "$2" ;;
    *) set -- "$1" "$2" $fixed ;;
    esac
    bug=$1 tool=$2
    shift 2
    timeout -k 5 100 "$@" "$work/bugs.$tool" "$bug" >"$said" 2>&1 </dev/null
}

# Whether what was said is a true report of bug $1 by $2, with the line.
is_true() {
    sentence=$(says "$1" "$2")
    if [ -n "$sentence" ]; then
        grep -qF "$sentence" "$said"
        return
    fi
    # A coroutine's calls end at its entry: below it there is no more.
    ! grep -A1 asi_coro_entry "$said" | grep -v asi_coro_entry | grep -qE '^ +#[1-9]|   by 0x' || return 1
    grep -qE "bugs.c:$(grep -n "BUG $1\\b" "$source" | cut -d: -f1)\\b" "$said"
}

[ $# -gt 0 ] || set -- $(sed -n '/^} bugs/,/}};/p' "$source" | grep -oE '\{"[a-z_]+"' | tr -d '{"')
bugs=0 cells=0 fired=0 missed=0 lies=0 more=0
for bug in "$@"; do
    row=
    [ "${bug#none}" != "$bug" ] || bugs=$((bugs + 1))
    wanted=" $(expected "$bug") "
    for tool in $tools; do
        said=$work/said.$bug.$tool
        run "$bug" "$tool"
        status=$?
        if [ "${bug#none}" != "$bug" ]; then
            verdict=-
            case $tool in *asan*) # and as most users run it
                [ $status -ne 0 ] ||
                    (export ASAN_OPTIONS=detect_stack_use_after_return=0 && run "$bug" "$tool") ||
                    status=$?
                ;;
            esac
            if [ $status -ne 0 ] || [ -s "$said" ]; then
                verdict=LIES lies=$((lies + 1))
            fi
        elif is_true "$bug" "$tool"; then
            verdict=fired+
            case $wanted in *" $tool "*) verdict=fired ;; *) more=$((more + 1)) ;; esac
        else
            verdict=-
            case $wanted in *" $tool "*) verdict=MISSED missed=$((missed + 1)) ;; esac
        fi
        case $wanted in *" $tool "*) cells=$((cells + 1)) ;; esac
        [ $verdict != fired ] || fired=$((fired + 1))
        row="$row $tool:$verdict"
    done
    echo "$bug$row" | tr ' ' '\t'
done
set -- $tools
echo "$bugs bugs, $# tools, $cells cells expected, $fired fired, $missed missed, $lies lies"
[ $((missed + lies)) -eq 0 ]
