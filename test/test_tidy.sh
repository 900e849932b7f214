#!/bin/sh
# SPDX-License-Identifier: MIT
# Each rule of tidy.sh finds what breaks it: a little tree that keeps all rules, then one fault after
# the other.  TAP on standard output.
set -u
cd "$(dirname "$0")/.." || exit 2
. test/tap.sh
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
tree=$work/tree
spdx='/* SPDX-License-Identifier: MIT */'

tidy() { sh "$tree/test/tidy.sh" >"$work/said" 2>&1; }

clean_tree() {
    rm -rf "$tree"
    mkdir -p "$tree/include/anysync" "$tree/test" "$tree/.ci"
    for folder in base thread loop coro sched api tls; do mkdir -p "$tree/lib/$folder"; done
    cp test/tidy.sh "$tree/test/"
    cp .clang-format "$tree/"
    printf '#!/bin/bash\n# SPDX-License-Identifier: MIT\n' >"$tree/.ci/run"
    : >"$tree/Makefile"
    printf '%s\n' "$spdx" '/* A time. */' 'typedef long anysync_time;' >"$tree/include/anysync/base.h"
}

# finds RULE FILE LINE ...: FILE, made of the SPDX line and LINEs, breaks RULE.
finds() {
    rule=$1 file=$2
    shift 2
    clean_tree
    printf '%s\n' "$spdx" "$@" >"$tree/$file"
    ! tidy && grep -qF "$rule" "$work/said"
    report $? "$rule: $file"
}

# accepts NAME FILE LINE ...: nothing to say about FILE.
accepts() {
    name=$1 file=$2
    shift 2
    clean_tree
    printf '%s\n' "$spdx" "$@" >"$tree/$file"
    tidy
    report $? "accepts $name"
}

long() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "x" }'; }
lines() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) print "int x" i ";" }'; }
body() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) print "    f();" }'; }

accepts "an atomic access with its reason" lib/thread/a.c '#include "thread/atomic.h"' '' \
    'int get(struct box *box)' '{' '    /* A1: reads what A2 wrote */' \
    '    return asi_load(&box->value, acquire);' '}'
accepts "seq_cst with its reason" lib/thread/a.c '/* seq_cst: a store, then a load of another. */' \
    'int get(struct box *box)' '{' '    return asi_load(&box->value, seq_cst);' '}'
accepts "layers in their order" lib/sched/a.c '#include "sched/task.h"' '' '#include "base/list.h"' \
    '#include "coro/coro.h"' '#include "loop/loop.h"' '' '#include <anysync/future.h>'
accepts "a group under one comment" include/anysync/a.h '#define ANYSYNC_API' '/* Both. */' \
    'ANYSYNC_API int anysync_a(void);' 'ANYSYNC_API int anysync_b(void);'
accepts "inline assembly" lib/coro/a.c '' 'void stop(void)' '{' '    __asm__ volatile("nop");' '}'

finds 'over 100 columns' lib/base/a.c "/* $(long 100) */"
finds 'tab' lib/base/a.c "$(printf '/*\t*/')"
finds 'trailing blank' lib/base/a.c 'int x; '
finds 'function over 70 lines' lib/base/a.c 'void g(void)' '{' "$(body 71)" '}'
finds 'over 600 lines' lib/base/a.c '/*' ' * Why. */' "$(lines 600)"
finds 'over 300 lines' include/anysync/a.h "$(lines 300)"
finds 'no design comment on top' lib/base/a.c "$(lines 101)"
finds 'typedef of a struct' lib/base/a.c 'typedef struct box box;'
finds 'pthread_cond_signal' lib/thread/a.c 'void g(void)' '{' '    pthread_cond_signal(&x);' '}'
finds 'base/ may not include thread/' lib/base/a.c '#include "thread/mailbox.h"'
finds 'loop/ may not include coro/' lib/loop/a.c '#include "coro/coro.h"'
finds 'coro/ may not include loop/' lib/coro/a.c '#include "loop/loop.h"'
finds 'sched/ may not include api/' lib/sched/a.c '#include "api/task.h"'
finds 'tls/ may not include sched/' lib/tls/a.c '#include "sched/task.h"'
finds 'api/ may not include tls/' lib/api/a.c '#include "tls/engine.h"'
finds 'OpenSSL is for lib/tls only' lib/api/a.c '#include <openssl/ssl.h>'
accepts "an optional library beside the layers" lib/tls/a.c '#include "tls/engine.h"' '' \
    '#include "base/memory.h"' '#include "thread/lock.h"' '' '#include <event2/event.h>' \
    '#include <openssl/ssl.h>'
finds 'write the folder' lib/base/a.c '#include "list.h"'
finds 'no layer is named' lib/a.c 'int x;'
finds 'libevent is for' lib/sched/a.c '#include <event2/event.h>'
finds 'threads are for' lib/sched/a.c '#include <pthread.h>'
finds 'atomics go through' lib/thread/a.c '#include <stdatomic.h>'
finds 'are public' lib/thread/a.c '#include <anysync/task.h>'
finds 'fence' lib/thread/a.c 'void g(void)' '{' '    atomic_thread_fence(x); /* so */' '}'
finds 'volatile' lib/base/a.c 'volatile int x;'
finds 'raw atomic' lib/thread/a.c 'int g(void)' '{' '    return atomic_load(&x); /* so */' '}'
finds 'atomics are for' lib/sched/a.c 'int g(void)' '{' '    return asi_load(&x, relaxed); /* so */' '}'
finds 'without a reason' lib/thread/a.c '' '' '' '' '' '' 'int x = asi_load(&x, relaxed);'
finds 'seq_cst without' lib/thread/a.c '' '' 'int x = asi_load(&x, seq_cst); /* A1 */'
finds 'without documentation' include/anysync/a.h '#define ANYSYNC_API' '' 'ANYSYNC_API int anysync_a(void);'
finds 'does not compile alone as c11' include/anysync/a.h 'size_t x(void);'
finds 'does not compile alone as c++17' include/anysync/a.h 'int template(void);'
finds 'no SPDX line' test/a.sh 'echo'
finds 'unfinished business' lib/base/a.c "/* TO""DO: the rest */"
finds 'does not belong at the top' notes.txt ''
if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    finds 'not as clang-format has it' lib/base/a.c 'int  x;'
fi
echo "1..$number"
[ $failed -eq 0 ]
