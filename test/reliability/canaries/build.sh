#!/bin/sh
# SPDX-License-Identifier: MIT
# Build bugs.c with the library in the tree that is the working directory, for one or all of the tools
# of matrix.sh: WORK/bugs.TOOL.
#
#   build.sh WORK [TOOL...]
set -u
work=$1
shift
mkdir -p "$work"
[ $# -gt 0 ] || set -- plain gcc-asan gcc-asan-both clang-asan clang-asan-both clang-tsan clang-msan \
    memcheck helgrind gcc-asan-shared clang-asan-shared clang-lsan
libraries=$(pkg-config --libs libevent_core libevent_pthreads)
for tool in "$@"; do
    compiler=gcc kind= flags=
    case $tool in
    *asan*) flags="-fsanitize=address,undefined -fno-omit-frame-pointer" ;;
    *tsan) flags="-fsanitize=thread" kind="SAN=thread" ;;
    *lsan) flags="-fsanitize=leak" ;;
    *msan) flags="-fsanitize=memory -fsanitize-memory-track-origins" kind="SAN=memory" ;;
    helgrind) kind="SAN=helgrind" ;;
    esac
    case $tool in clang*) compiler=clang ;; esac
    case $tool in *-both) kind="SAN=address" ;; esac
    # shellcheck disable=SC2086  # several words on purpose
    set_of="CC=$([ -n "$kind" ] && echo $compiler || echo gcc) $kind"
    place=$(make --no-print-directory -s $set_of print-build)
    case $tool in
    *-shared) file=$place/libanysync.so link=-Wl,-rpath,$PWD/$place ;;
    *) file=$place/libanysync.a link= ;;
    esac
    # shellcheck disable=SC2086
    make --no-print-directory -s $set_of "$file" >"$work/build.log" 2>&1 ||
        { cat "$work/build.log" && exit 1; }
    # shellcheck disable=SC2086
    $compiler $flags -O0 -g -w -std=c11 -D_POSIX_C_SOURCE=200809L -Iinclude \
        test/reliability/canaries/bugs.c test/reliability/canaries/correct.c "$file" $link $libraries -pthread \
        -o "$work/bugs.$tool" || exit 1
done
