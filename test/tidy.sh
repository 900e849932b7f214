#!/bin/sh
# SPDX-License-Identifier: MIT
# The house rules that a machine can check.  Prints "file:line: rule" for each one that is broken, and
# fails if there is any.  docs/style.md says why they are the rules.
set -u
cd "$(dirname "$0")/.." || exit 2
: "${CC:=cc}" "${CXX:=c++}"
format_version=14 # of clang-format: versions differ in taste, so only this one is asked
found=$(mktemp) && alone=$(mktemp) || exit 2
trap 'rm -f "$found" "$alone"' EXIT
folders=$(ls -d include lib test bench docs 2>/dev/null)
sources=$(find $folders -name '*.[ch]' | sort)
headers=$(find include -name '*.h' | sort)
library=$(find lib -name '*.[ch]' | sort)
scripts=$(find $folders .ci -name '*.sh' -o -path .ci/run | sort)
[ -n "$sources" ] || exit 0

# Shape.  Functions open and close their braces in column 0, so a line is enough to see one.
awk '
    function broken(line, rule)     { print FILENAME ":" line ": " rule }
    function ended()                { if (last > limit) print file ":1: over " limit " lines"
                                      if (file ~ /\.c$/ && last > 100 && !essay)
                                          print file ":2: over 100 lines, but no design comment on top" }
    FNR == 1                        { if (NR > 1) ended()
                                      file = FILENAME; open = essay = 0
                                      limit = file ~ /^include/ ? 300 : 600 }
    FNR == 1 && !/SPDX-License-Identifier: MIT/ { broken(1, "no SPDX line") }
    FNR == 2 || FNR == 3 && before ~ /^#define _GNU_SOURCE/ { if (/^\/\*/ && !/\*\//) essay = 1 }
    length($0) > 100                { broken(FNR, "line over 100 columns") }
    /\t/                            { broken(FNR, "tab") }
    /[ \t\r]$/                      { broken(FNR, "trailing blank") }
    /^\{/                           { open = FNR }
    /^\}/ && open                   { if (FNR - open > 70) broken(open, "function over 70 lines")
                                      open = 0 }
    /pthread_cond_signal[ ]*\(/ && file !~ /^bench/ {
                                      broken(FNR, "pthread_cond_signal: broadcast, or park") }
    /^typedef struct/               { broken(FNR, "typedef of a struct") }
                                    { last = FNR; before = $0 }
    END                             { ended() }' $sources >>"$found"

# Layers: base < thread < { loop, coro } < sched < api.  A file sees its own folder and those below.
# tls and dns are optional libraries beside them: they see what users see, base, and the locks.
awk '
    function broken(rule)       { print FILENAME ":" FNR ": " rule }
    BEGIN                       { rank["base"] = 0; rank["thread"] = 1; rank["loop"] = 2
                                  rank["coro"] = 2; rank["sched"] = 3; rank["api"] = 4
                                  rank["tls"] = 5; beside["tls"] = 1
                                  rank["dns"] = 5; beside["dns"] = 1 }
    FNR == 1                    { split(FILENAME, part, "/"); mine = part[2]
                                  if (!(mine in rank)) broken("no layer is named " mine) }
    /^[ ]*#[ ]*include "/       { split($0, part, "[\"/]"); theirs = part[2]
                                  if (theirs == "virtual") next
                                  if (!(theirs in rank)) broken("write the folder: \"base/list.h\"")
                                  else if (mine in beside && theirs != mine && theirs != "base" &&
                                           !/"thread\/lock\.h"/)
                                      broken(mine "/ may not include " theirs "/, but for thread/lock.h")
                                  else if (theirs != mine && rank[theirs] >= rank[mine])
                                      broken(mine "/ may not include " theirs "/") }
    /^[ ]*#[ ]*include <event/  { if (mine != "loop" && !(mine in beside)) broken("libevent is for lib/loop only") }
    /^[ ]*#[ ]*include <openssl/ { if (mine != "tls") broken("OpenSSL is for lib/tls only") }
    /^[ ]*#[ ]*include <(stdatomic|pthread|threads|semaphore)\.h>/ {
                                  if (mine != "thread") broken("threads are for lib/thread only") }
    /^[ ]*#[ ]*include <stdatomic\.h>/ {
                                  if (FILENAME != "lib/thread/atomic.h")
                                      broken("atomics go through lib/thread/atomic.h") }
    /^[ ]*#[ ]*include <anysync/ { if (rank[mine] < 3 && !/<anysync\/(base|error)\.h>/)
                                      broken("below sched only base.h and error.h are public") }
    ' $library /dev/null >>"$found"

# Atomics: in lib/thread only, through the macros of atomic.h only, each with a reason within six
# lines; seq_cst with one that says why.  No fences (TSan cannot see them), no volatile (but asm).
awk '
    function broken(rule)   { print FILENAME ":" FNR ": " rule }
    # Split the line into code and comment; in_comment carries over to the next line.
    function divide(line,   at) {
        code = said = ""
        gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
        while (line != "") {
            if (in_comment) {
                at = index(line, "*/")
                said = said " " (at ? substr(line, 1, at - 1) : line)
                line = at ? substr(line, at + 2) : ""
                in_comment = !at
            } else {
                at = index(line, "/*")
                code = code (at ? substr(line, 1, at - 1) : line)
                line = at ? substr(line, at + 2) : ""
                in_comment = at > 0
                if (in_comment) said = said " "
            }
        }
    }
    FNR == 1    { in_comment = 0; reason = strong = -100; thread = FILENAME ~ /^lib\/thread\// }
                { divide($0); if (said != "") reason = FNR; if (said ~ /seq_cst/) strong = FNR
                  gsub(/(__)?asm(__)? +(__)?volatile/, "", code) }
    code ~ /atomic_thread_fence|atomic_signal_fence|__sync_synchronize/ { broken("fence") }
    code ~ /(^|[^A-Za-z0-9_])volatile([^A-Za-z0-9_]|$)/                 { broken("volatile") }
    FILENAME == "lib/thread/atomic.h" { next }
    code ~ /(^|[^A-Za-z0-9_])atomic_|memory_order_|__atomic_|__sync_/ {
        broken("raw atomic: use the macros of thread/atomic.h") }
    code ~ /(^|[^A-Za-z0-9_])asi_(load|store|exchange|add|sub|or|and|cas_weak|cas_strong)[ ]*\(/ {
        if (!thread) broken("atomics are for lib/thread only")
        if (FNR - reason > 6) broken("atomic access without a reason") }
    code ~ /(^|[^A-Za-z0-9_])(_Atomic|asi_atomic)([^A-Za-z0-9_]|$)/ && !thread {
        broken("atomics are for lib/thread only") }
    code ~ /(^|[^A-Za-z0-9_])seq_cst([^A-Za-z0-9_]|$)/ {
        if (FNR - strong > 6) broken("seq_cst without a comment that says why") }
    ' $library /dev/null >>"$found"

# Public headers: each function documented, alone or in a group of consecutive declarations; each
# header compiles alone as C and as C++.
awk '
    FNR == 1                    { documented = 0 }
    /^[ ]*$/                    { documented = 0 }
    /\*\/[ ]*$/                 { documented = 1 }
    /^ANYSYNC_API/ && !documented { print FILENAME ":" FNR ": function without documentation" }
    ' $headers /dev/null >>"$found"
# A header for somebody else's loop, include/anysync/with_NAME.h, needs that one's package; where it
# is not there the header is left to make test-real.
package_of() {
    case ${1##*/with_} in
    glib.h) echo glib-2.0 ;;
    libuv.h) echo libuv ;;
    esac
}
compiles_alone() { # language, standard, compiler
    for header in $headers; do
        package=$(package_of "$header")
        [ -z "$package" ] || pkg-config --exists "$package" 2>/dev/null || continue
        echo "#include <${header#include/}>" |
            $3 -x "$1" -std="$2" -Iinclude ${package:+$(pkg-config --cflags "$package" |
                sed 's/-I/-isystem /g')} -D_POSIX_C_SOURCE=200809L -fsyntax-only \
                -Wall -Wextra -Wpedantic -Wshadow -Werror - 2>"$alone" ||
            echo "$header:1: does not compile alone as $2: $(grep -m 1 error "$alone")"
    done
}
compiles_alone c c11 "$CC" >>"$found"
command -v "$CXX" >/dev/null || CXX=$(command -v g++ || command -v clang++)
[ -z "$CXX" ] || compiles_alone c++ c++17 "$CXX" >>"$found"

# Scripts and assembly.
for file in $scripts; do
    sed -n 2p "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file:2: no SPDX line"
    case $(head -n 1 "$file") in
    *bash) bash -n "$file" 2>&1 ;;
    *) sh -n "$file" 2>&1 ;;
    esac
done >>"$found"
for file in $(find lib -name '*.S'); do
    head -n 1 "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file:1: no SPDX line"
done >>"$found"

# Everywhere: no unfinished business, nothing at the top that does not belong there.
marks='TO''DO|FIX''ME|XX''X|HA''CK'
grep -rnwE "$marks" $folders .ci Makefile $(ls README.md 2>/dev/null) |
    sed -E "s/^([^:]*:[0-9]*):.*/\1: unfinished business/" >>"$found"
for entry in *; do
    case $entry in
    lib | include | test | bench | docs | Makefile | README.md | LICENSE | build) ;;
    *) echo "$entry:1: does not belong at the top" ;;
    esac
done >>"$found"

# Format.
if clang-format --version 2>/dev/null | grep -q "version $format_version\."; then
    clang-format --dry-run -Werror $sources 2>&1 | grep ': error:' |
        sed -E 's/^([^:]*:[0-9]+):.*/\1: not as clang-format has it (make format)/' | sort -u
fi >>"$found"

cat "$found"
[ ! -s "$found" ]
