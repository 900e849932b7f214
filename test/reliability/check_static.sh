#!/bin/sh
# SPDX-License-Identifier: MIT
# R8 (static analysis), R25: no finding of gcc -fanalyzer, clang-tidy, cppcheck in the library, and no
# warning of gcc and clang; nothing is suppressed at a place.  What is switched off as a whole, and why:
#
#   clang-tidy
#     bugprone-easily-swappable-parameters   any two ints side by side
#     bugprone-reserved-identifier, cert-dcl37-c, cert-dcl51-cpp   _GNU_SOURCE, __x86_return_thunk:
#                                            names that others gave
#     bugprone-sizeof-expression             each sizeof of a pointer, in arrays of pointers too
#     clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling   memcpy(): wants functions
#                                            that the C library does not have
#     clang-analyzer-valist.Uninitialized    of clang 14: takes each va_list parameter for one
#   cppcheck
#     autoVariables    what waits lies on the stack of who waits, and is taken off before it returns
#     preprocessorErrorDirective   its preprocessor gives up at the typed front (lib/dns), which
#                      the compilers do not
#
# A full run lets clang's path-sensitive analyzer take part too; it takes most of the time.
. "${0%/*}/check.sh"
defines="-D_POSIX_C_SOURCE=200809L -Iinclude -Ilib"
flags="-std=c11 $defines $(pkg-config --cflags libevent_core)"
sources=$(ls lib/*/*.c)

# Count the findings in the log of a tool, and show them.
findings() {
    grep -E '(warning|error|portability|performance): ' "$work/said" >"$work/found"
    head -n 20 "$work/found"
    found=$(wc -l <"$work/found")
}

warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wundef -Wpointer-arith -Wwrite-strings -Wcast-align -Wvla -Wformat=2"
number=0 bad=0
for compiler in gcc clang; do
    for level in -O0 -O2; do
        number=$((number + 1))
        # shellcheck disable=SC2086  # several words on purpose
        run sh -c 'compiler=$1; shift; for file in lib/*/*.c; do $compiler "$@" -c $file -o /dev/null; done' \
            - $compiler $flags $warnings -fPIC $level
        findings
        bad=$((bad + found + (status != 0)))
    done
done
line R25a "$bad" 0 "warnings of gcc and clang at -Wall -Wextra -Wconversion -Wshadow and more" "$bad"

# shellcheck disable=SC2086
run sh -c 'for file in lib/*/*.c; do gcc -O2 -fanalyzer "$@" -c $file -o /dev/null; done' - $flags
findings
line R8f "$found" 0 "findings of gcc -fanalyzer" $((found + (status != 0)))

# shellcheck disable=SC2086
run cppcheck -q --enable=warning,portability,performance --inconclusive --std=c11 \
    --suppress=autoVariables --suppress=preprocessorErrorDirective $defines lib
findings
line R8g "$found" 0 "findings of cppcheck" $((found + (status != 0)))

checks="-*,bugprone-*,concurrency-*,cert-*,-bugprone-easily-swappable-parameters"
checks="$checks,-bugprone-reserved-identifier,-cert-dcl37-c,-cert-dcl51-cpp"
checks="$checks,-bugprone-sizeof-expression"
paths=",clang-analyzer-*,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling"
paths="$paths,-clang-analyzer-valist.Uninitialized"
# shellcheck disable=SC2086
LIMIT=$(pick 600 3600) run clang-tidy --quiet -checks="$checks$(pick '' "$paths")" $sources -- $flags
findings
line R8h "$found" 0 "findings of clang-tidy$(pick '' ' and its path-sensitive analyzer')" \
    $((found + (status != 0)))

# How many facts the library checks while it runs, for each so many lines of code.
asserts=$(cat lib/*/*.[ch] | grep -cE '(ASI_ASSERT|_Static_assert)\(')
lines=$(cat lib/*/*.[ch] | grep -cvE '^[[:space:]]*(/\*.*|\*.*|//.*|[{}]*)?$')
line R25b "$asserts in $lines lines, one in $((lines / asserts))" "one in 15 is proposed" \
    "facts checked in every build: asserts and static asserts" 0
finish
