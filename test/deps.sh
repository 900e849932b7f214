#!/bin/sh
# SPDX-License-Identifier: MIT
# See that what a build needs is there, and install what is missing where that is possible: on a
# Debian-like machine, as root or with a sudo that asks no password.  Elsewhere: one line to type.
#
#   [CC=clang] test/deps.sh SET ...      silent and quick when all is there
#
#   build  compiler, make, pkg-config, libevent       test  C++ compiler (headers are checked with it)
#   clang  clang with its sanitizers                  demo  nginx, which the demo talks to
#   tls    OpenSSL
#   real   libraries and servers that make test-real uses
#   reliability  what make reliability looks with: model checkers, emulators, static analysis
set -u
cd "$(dirname "$0")/.." || exit 2
: "${CC:=gcc}"
compiler=${CC##* }
compiler=${compiler##*/}
missing=

has() { command -v "$1" >/dev/null 2>&1; }
need() { case "$missing " in *" $1 "*) ;; *) missing="$missing $1" ;; esac; }

# Clang's sanitizers are a package of their own, named after clang's version.
clang_runtime() {
    case $compiler in clang*) clang=$CC ;; *) clang=clang ;; esac
    file=libclang_rt.tsan-$(uname -m).a
    [ "$($clang -print-file-name="$file")" != "$file" ] ||
        [ -e "$($clang --print-runtime-dir 2>/dev/null)/libclang_rt.tsan.a" ]
}

look() {
    missing=
    for set in "$@"; do
        case $set in
        build)
            has "${CC%% *}" || need "$compiler"
            has make || need make
            has pkg-config || need pkg-config
            pkg-config --exists libevent_core libevent_pthreads libevent_extra 2>/dev/null ||
                need libevent-dev
            ! has "${CC%% *}" || echo '#include <stdlib.h>' | $CC -E - >/dev/null 2>&1 ||
                need libc6-dev
            ;;
        clang)
            case $compiler in clang*) clang=$compiler ;; *) clang=clang ;; esac
            if ! has "$clang"; then
                need "$clang"
            elif ! clang_runtime; then
                need "libclang-rt-$($clang -dumpversion | cut -d. -f1)-dev"
            fi
            ;;
        test)
            has c++ || has g++ || has clang++ || need g++
            if grep -qs nginx test/test_*.sh; then look_for_nginx; fi
            ;;
        demo) look_for_nginx ;;
        tls)
            pkg-config --exists libevent_openssl 2>/dev/null || need libevent-dev
            pkg-config --exists openssl 2>/dev/null || need libssl-dev
            ;;
        real)
            for pair in libuv:libuv1-dev glib-2.0:libglib2.0-dev hiredis:libhiredis-dev \
                libpq:libpq-dev libcurl:libcurl4-openssl-dev openssl:libssl-dev; do
                pkg-config --exists "${pair%:*}" 2>/dev/null || need "${pair#*:}"
            done
            has redis-server || need redis-server
            has wrk || need wrk
            has openssl || need openssl
            look_for_nginx
            ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || need postgresql
            ;;
        reliability)
            for pair in spin:spin valgrind:valgrind cppcheck:cppcheck clang-tidy:clang-tidy gdb:gdb \
                gcovr:gcovr strace:strace musl-gcc:musl-tools setpriv:util-linux \
                qemu-aarch64-static:qemu-user-static i686-linux-gnu-gcc:gcc-i686-linux-gnu \
                aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu; do
                has "${pair%:*}" || need "${pair#*:}"
            done
            [ -e /usr/include/relacy/relacy.hpp ] || need relacy-dev
            # valgrind names our functions by these.
            [ -d /usr/lib/debug/.build-id ] || need libc6-dbg
            [ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ] || need libc6-dev-arm64-cross
            [ -e /usr/i686-linux-gnu/lib/libc.so.6 ] || need libc6-dev-i386-cross
            ;;
        *) echo "test/deps.sh: no set named $set" >&2 && exit 2 ;;
        esac
    done
}

look_for_nginx() { has nginx || [ -x /usr/sbin/nginx ] || need nginx; }

# Say what to type, and fail.
give_up() {
    echo "error: missing:$missing ($1).  Type one of:" \
        "sudo apt-get install$missing" \
        "| sudo dnf install gcc gcc-c++ clang compiler-rt make pkgconf libevent-devel libasan libtsan libubsan" \
        "| brew install pkg-config libevent" >&2
    exit 1
}

look "$@"
[ -n "$missing" ] || exit 0
has apt-get || give_up "no apt-get here"
if [ "$(id -u)" -eq 0 ]; then
    as_root='env'
elif sudo -n true 2>/dev/null; then
    as_root='sudo -n env'
else
    give_up "not root"
fi

# A second round finds the sanitizers of a clang that the first has installed.
for round in 1 2; do
    echo "installing:$missing" >&2
    [ $round -ne 1 ] || $as_root DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >&2 ||
        echo "warning: apt-get update failed" >&2
    $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $missing </dev/null >&2 || give_up "apt-get install failed"
    look "$@"
    [ -n "$missing" ] || exit 0
done
give_up "still, after installing"
