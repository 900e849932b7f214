#!/bin/sh
# SPDX-License-Identifier: MIT
# R9: the tests on other platforms than the one that make test uses:
# each level of optimization, whole programs optimized at link time, the switch by ucontext; 32 bits
# (i386, run natively); 64-bit ARM (in an emulator); another C library (musl, the parts that need no
# libevent).
#
# In CI some programs of each, in a full run all.  Foreign programs are linked statically.  Their
# libevent comes from Debian's packages, unpacked into $work by an apt with a state of its own:
# nothing of it is installed.  Tests that cannot pass somewhere are listed in platforms.waived with
# the reason.
#
# PLATFORM=i386 leaves out those without this word in their names.
. "${0%/*}/check.sh"
all=$(ls test/test_*.c | sed 's,.*/,,;s/\.c$//')
bare="test_cell test_coro test_doorbell test_futex test_futex_portable test_harness test_mailbox
    test_owned test_recycle test_ring test_stack test_timers test_waiter"

# One line: programs $2 in the kind of build that the other words name.
platform() {
    platform=$1 programs=$2
    shift 2
    case $platform in *"${PLATFORM:-}"*) ;; *) return ;; esac
    begin=$(date +%s)
    place=$(make --no-print-directory -s "$@" print-build)
    : >"$work/tap"
    : >"$work/skipped"
    made=0 files=
    for program in $programs; do
        grep -q "^$platform $program \* " $waived || files="$files $place/test/$program"
    done
    # What cannot be linked here at all is told by its tests that are missing.
    make_one "$@" $files || made=1
    for program in $programs; do
        if grep -q "^$platform $program \* " $waived; then
            sed -n 's/^TEST(\(.*\))$/\1/p' "test/$program.c" >>"$work/skipped"
            continue
        fi
        chosen=$(names "$platform" "$program")
        [ "$chosen" != none ] || continue
        timeout -k 10 900 $under "$place/test/$program" $chosen >"$work/said" 2>&1 </dev/null ||
            echo "not ok 0 - $program ended with $?" >>"$work/tap"
        cat "$work/said" >>"$log"
        grep -E '^(not )?ok ' "$work/said" | sed "s/ - / - $program: /" >>"$work/tap"
    done
    passed=$(grep '^ok ' "$work/tap" | grep -vc '# SKIP')
    failed=$(grep -c '^not ok [1-9]' "$work/tap")
    # A program that ended badly and named no test has failed all the same.
    [ "$failed" -gt 0 ] || failed=$(grep -c '^not ok' "$work/tap")
    skipped=$(($(grep -c '# SKIP' "$work/tap") + $(wc -l <"$work/skipped")))
    grep '^not ok' "$work/tap"
    status=1
    [ $made -eq 0 ] && [ "$failed" -eq 0 ] && [ "$passed" -ge $(($(echo $programs | wc -w) * 3)) ] &&
        status=0
    line R9 "$passed passed, $failed failed, $skipped skipped" "0 failed" \
        "tests of $(echo $programs | wc -w) programs, $platform$note" $status
    echo "$platform: $(($(date +%s) - begin)) s"
}

# libevent for the processor that Debian calls $1, unpacked into $sysroot; fails if it cannot be
# had.
sysroot() {
    sysroot=$work/sysroot-$1
    [ ! -e "$sysroot/done" ] || return 0
    apt=$(pwd)/$work/apt-$1
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$sysroot"
    : >"$apt/state/status"
    options="-o Dir::State=$apt/state -o Dir::State::status=$apt/state/status
        -o Dir::Cache=$apt/cache -o APT::Architecture=$1 -o APT::Architectures=$1
        -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::http::Timeout=30"
    for try in 1 2 3; do
        # A mirror that is being written may lack one of its lists, and have the packages.
        timeout 120 apt-get $options -qq update >>"$log" 2>&1
        (cd "$apt" && timeout 120 apt-get $options -qq download \
            libevent-dev libevent-core-2.1-7 libevent-pthreads-2.1-7) >>"$log" 2>&1 && break
        sleep 2
    done
    for package in "$apt"/*.deb; do
        dpkg -x "$package" "$sysroot" >>"$log" 2>&1 || return 1
    done
    : >"$sysroot/done"
}

# A foreign processor: Debian's name, the compiler's, programs in CI, words for make.
foreign() {
    debian=$1 triplet=$2 programs=$3
    shift 3
    libraries=$work/sysroot-$debian/usr/lib/$triplet
    headers=$work/sysroot-$debian/usr/include
    note=
    if ! sysroot "$debian"; then
        programs=$bare note=" (without libevent: the package could not be had)"
        headers=/usr/include libraries=/nowhere
    fi
    platform "$debian" "$programs" "$@" LDFLAGS=-static \
        EVENT_CFLAGS="-idirafter $headers/$triplet -idirafter $headers" \
        LIBS="$(ls "$libraries"/libevent_core.a "$libraries"/libevent_pthreads.a 2>/dev/null |
            tr '\n' ' ')"
    [ -z "$note" ] || [ "$MODE" = ci ] || check_failed=1
    note=
}

export TEST_SCALE="$(pick 10 50)" TEST_TIME_LIMIT=120
few="test_coro test_values test_futures test_groups test_generators test_tls"
under= note=
platform "gcc -O3" "$(pick "$few" "$all")" CC=gcc OPT=-O3
platform "gcc -O2 -flto" "$(pick "$few" "$all")" CC=gcc OPT="-O2 -flto"
platform "clang -O2 -flto" "$(pick "test_coro test_generators test_tls" "$all")" CC=clang \
    OPT="-O2 -flto"
platform "gcc -O0" "$(pick "$few" "$all")" CC=gcc OPT=-O0
if [ "$MODE" = full ]; then
    for level in -O1 -Os; do
        platform "gcc $level" "$all" CC=gcc OPT="$level"
    done
    for level in -O0 -O1 -O3 -Os; do
        platform "clang $level" "$all" CC=clang OPT="$level"
    done
    platform "ucontext" "$all" CC=gcc BUILD=build/ucontext CFLAGS=-DASI_UCONTEXT
fi
foreign i386 i386-linux-gnu "$(pick "$few test_mailbox test_cell test_sizes test_typed" "$all")" \
    CC=i686-linux-gnu-gcc CFLAGS=-Wno-psabi
under=qemu-aarch64-static
foreign arm64 aarch64-linux-gnu "$(pick "test_coro test_values test_futures test_tls test_overflow
    test_mailbox" "$all")" CC=aarch64-linux-gnu-gcc
under=
# CMSG_NXTHDR() of musl's headers changes signs.
platform musl "$(pick "test_coro test_mailbox test_cell test_waiter test_futex test_stack" "$bare")" \
    CC=musl-gcc CFLAGS=-Wno-sign-conversion LDFLAGS=-static LIBS= \
    EVENT_CFLAGS="-idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu"
finish
