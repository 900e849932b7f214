#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make install` puts in place is complete: a program builds against it through pkg-config, with
# the shared and with the static library, and runs.
#
#   [CC=gcc] sh test/test_install.sh        TAP on standard output
set -u
cd "$(dirname "$0")/.." || exit 2
: "${CC:=gcc}"
number=0 failed=0
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# check NAME COMMAND ...: one TAP line; what the command said when it failed.
check() {
    number=$((number + 1)) name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        failed=$((failed + 1))
        sed 's/^/#   /' "$work/said"
    fi
}

install_to() { make --no-print-directory install CC="$CC" SAN= RACE= OPT=-O2 "$@"; }
is_empty() { [ ! -s "$1" ] || { cat "$1" && false; }; }

staged_files() {
    install_to DESTDIR="$work/stage" PREFIX=/usr || return
    for file in include/anysync.h include/anysync/base.h lib/libanysync.a lib/libanysync.so.0 \
        lib/libanysync.so lib/pkgconfig/anysync.pc; do
        [ -f "$work/stage/usr/$file" ] || { echo "no $file" && return 1; }
    done
    grep -qx 'prefix=/usr' "$work/stage/usr/lib/pkgconfig/anysync.pc"
}

cat >"$work/program.c" <<'END'
#include <anysync.h>

#include <stdio.h>

static int twice(void *argument, void *result)
{
    *(int *)result = *(int *)argument * 2;
    return anysync_yield();
}

static const struct anysync_function function = {.name = "twice",
        .file = __FILE__,
        .line = __LINE__,
        .body = twice,
        .argument_size = sizeof(int),
        .result_size = sizeof(int)};

int main(void)
{
    int argument = 21, result = 0;
    int error = anysync_run(&function, &argument, &result, ANYSYNC_FOREVER);

    printf("%d\n", result);
    return error != 0 || result != 42;
}
END

prefix=$work/prefix
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"

shared_program() {
    $CC -std=c11 -Wall -Wextra -Werror $(pkg-config --cflags anysync) "$work/program.c" \
        -o "$work/shared" $(pkg-config --libs anysync) &&
        LD_LIBRARY_PATH=$prefix/lib timeout 60 "$work/shared"
}

static_program() {
    libs=$(pkg-config --static --libs anysync | sed 's/-lanysync/-l:libanysync.a/')
    $CC -std=c11 -Wall -Wextra -Werror $(pkg-config --cflags anysync) "$work/program.c" \
        -o "$work/static" $libs && timeout 60 "$work/static"
}

only_public_names() {
    nm -D --defined-only "$prefix/lib/libanysync.so.0" >"$work/all" && grep -q ' anysync_' "$work/all" &&
        grep -v ' anysync_[a-z0-9_]*$' "$work/all" >"$work/names"
    is_empty "$work/names"
}

# The static library may use one more prefix for what its files share, and has the thunk that the
# compiler names (lib/coro/back.h), weak.
only_our_names() {
    nm -g --defined-only "$prefix/lib/libanysync.a" >"$work/all" &&
        awk 'NF == 3 && $3 !~ /^(anysync|asi)_/ && $0 !~ / W __x86_return_thunk$/' "$work/all" \
            >"$work/names"
    is_empty "$work/names"
}

all_documented_calls_exist() {
    grep -ohE '^ANYSYNC_API .*' "$prefix"/include/anysync/*.h | grep -oE 'anysync_[a-z0-9_]+ *\(' |
        tr -d ' (' | sort -u >"$work/declared"
    nm -D --defined-only "$prefix/lib/libanysync.so.0" | awk '{ print $3 }' | sort -u >"$work/defined"
    comm -23 "$work/declared" "$work/defined" >"$work/lacking"
    is_empty "$work/lacking"
}

# The optional library for TLS, where OpenSSL is: in a prefix of its own, as the rest goes without.
cat >"$work/secret.c" <<'END'
#include <anysync.h>
#include <anysync/tls.h>

#include <errno.h>

int main(void)
{
    struct anysync_tls *tls = NULL;
    struct anysync_stream *stream = NULL;
    int fds[2];
    int error = socketpair(AF_UNIX, SOCK_STREAM, 0, fds) || anysync_tls_new(NULL, &tls);

    if (!error) /* nobody is there */
        error = anysync_tls_connect(tls, fds[0], "a.test", ANYSYNC_POLL, &stream) != -ETIMEDOUT;
    anysync_tls_unref(tls);
    return error;
}
END

tls_programs() {
    install_to PREFIX="$work/tls" WITH=tls || return
    PKG_CONFIG_PATH=$work/tls/lib/pkgconfig
    $CC -std=c11 -D_POSIX_C_SOURCE=200809L $(pkg-config --cflags anysync_tls) "$work/secret.c" \
        -o "$work/secret" $(pkg-config --libs anysync_tls) &&
        LD_LIBRARY_PATH=$work/tls/lib timeout 60 "$work/secret" &&
        $CC -std=c11 -D_POSIX_C_SOURCE=200809L $(pkg-config --cflags anysync_tls) "$work/secret.c" \
            -o "$work/secret" $(pkg-config --static --libs anysync_tls |
                sed 's/-lanysync\(_tls\)\{0,1\}\>/-l:libanysync\1.a/g') && timeout 60 "$work/secret"
}

# No file of the core is for TLS, or needs it.
core_without_tls() {
    [ ! -e "$prefix/include/anysync/tls.h" ] &&
        ! readelf -d "$prefix/lib/libanysync.so.0" | grep -E 'NEEDED.*(ssl|crypto)'
}

dns_program() {
    install_to PREFIX="$work/dns" WITH=dns || return
    PKG_CONFIG_PATH=$work/dns/lib/pkgconfig
    cat >"$work/names.c" <<'END'
#include <anysync/dns.h>

#include <errno.h>

int main(void)
{
    const char *servers[] = {"127.0.0.1:1", 0};
    struct anysync_dns *dns = 0;
    int error = anysync_dns_new(&(struct anysync_dns_options){.servers = servers}, &dns);

    anysync_dns_free(dns);
    return error;
}
END
    $CC -std=c11 $(pkg-config --cflags anysync_dns) "$work/names.c" -o "$work/names" \
        $(pkg-config --libs anysync_dns) && LD_LIBRARY_PATH=$work/dns/lib timeout 60 "$work/names"
}

only_tls_names() {
    nm -D --defined-only "$work/tls/lib/libanysync_tls.so.0" | grep -v ' anysync_tls_[a-z0-9_]*$' \
        >"$work/names"
    is_empty "$work/names"
}

check "files are where they belong" staged_files
check "installs to a prefix" install_to PREFIX="$prefix"
check "a program runs with the shared library" shared_program
check "a program runs with the static library" static_program
check "the shared library exports only anysync_ names" only_public_names
check "the static library defines only anysync_ and asi_ names" only_our_names
check "every declared call is exported" all_documented_calls_exist
check "the shared library is never unloaded" \
    sh -c "readelf -d '$prefix/lib/libanysync.so.0' | grep NODELETE"
check "the shared library has its soname" \
    sh -c "readelf -d '$prefix/lib/libanysync.so.0' | grep 'SONAME.*libanysync.so.0'"
check "no part asks for an executable stack" \
    sh -c "! readelf -lW '$prefix/lib/libanysync.so.0' | grep 'GNU_STACK.*RWE'"
check "the library needs no OpenSSL" core_without_tls
if pkg-config --exists libevent_openssl openssl; then
    check "programs run with the optional library for TLS" tls_programs
    check "it exports only its own names" only_tls_names
fi
check "a program runs with the optional library for names" dns_program
echo "1..$number"
[ $failed -eq 0 ]
