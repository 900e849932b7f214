#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the peers from the distribution's packages, and build their programs below build/peers/,
# where bench/run.sh finds them.  What cannot be installed or built is said, written to
# build/peers/.left_out, and no error.
#
#   make bench-peers
#
# Packages are installed with apt-get, as root or with a sudo that asks no password; elsewhere the
# programs of those that are there already are built.  Rust's crates are Debian's, too: nothing is
# downloaded from elsewhere.
set -u
cd "$(dirname "$0")/../.." || exit 2
source=$PWD/bench/peers
built=$PWD/build/peers
log=$built/.log
mkdir -p "$built"
rm -f "$built"/* "$built/.left_out"
: >"$log"
: >"$built/.left_out"
: "${CC:=gcc}" "${CXX:=g++}"
flags="-O2 -D_GNU_SOURCE -Wall -Wextra -pthread"

install() { # packages; whether all are there
    dpkg -s "$@" >/dev/null 2>&1 && return
    command -v apt-get >/dev/null || return
    as_root=env
    [ "$(id -u)" -eq 0 ] || as_root='sudo -n env'
    echo "installing $*" >&2
    if [ -z "${updated:-}" ]; then
        updated=yes
        $as_root DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >>"$log" 2>&1
    fi
    $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        </dev/null >>"$log" 2>&1
}

# peer NAME "PACKAGES" COMMAND...: COMMAND builds $built/NAME.
peer() {
    name=$1 packages=$2
    shift 2
    # shellcheck disable=SC2086  # several words on purpose
    if ! install $packages; then
        left_out "$name" "no package: $packages"
    elif ! "$@" >>"$log" 2>&1 || [ ! -x "$built/$name" ]; then
        left_out "$name" "does not build, see build/peers/.log"
    else
        echo "built $name"
    fi
}

left_out() {
    echo "left out $1: $2"
    echo "$1: $2" >>"$built/.left_out"
}

in_c() { # NAME LIBRARY...
    name=$1
    shift
    # shellcheck disable=SC2086
    $CC -std=gnu11 $flags "$source/$name.c" -o "$built/$name" "$@"
}

in_cxx() { # NAME LIBRARY...
    name=$1
    shift
    # shellcheck disable=SC2086
    $CXX -std=gnu++20 $flags "$source/$name.cc" -o "$built/$name" "$@"
}

in_go() {
    GOCACHE=$built/.go GO111MODULE=off GOTOOLCHAIN=local \
        go build -o "$built/go" "$source/go.go" "$source/go_tasks.go" "$source/peer.go"
}

in_rust() { # NAME
    mkdir -p "$built/.rust/.cargo"
    cp "$source/Cargo.toml" "$source"/*.rs "$built/.rust"
    printf '[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "%s"\n' \
        /usr/share/cargo/registry >"$built/.rust/.cargo/config.toml"
    cargo=$(ls /usr/bin/cargo 2>/dev/null || command -v cargo)
    rustc=$(ls /usr/bin/rustc 2>/dev/null || command -v rustc)
    (cd "$built/.rust" && RUSTC=$rustc "$cargo" build --offline --release --bin "$1") &&
        cp "$built/.rust/target/release/$1" "$built/$1"
}

java_version() { "$1" -version 2>&1 | sed 's/[^0-9]*\([0-9]*\).*/\1/;q'; } # java or javac

# The newest JDK that is there.
java_home() {
    for compiler in "${JAVA_HOME:-/nowhere}"/bin/javac /usr/lib/jvm/*/bin/javac; do
        [ -x "$compiler" ] && echo "$(java_version "$compiler")" "${compiler%/bin/javac}"
    done | sort -n | tail -n 1 | cut -d ' ' -f 2-
}

in_java() { # NAME CLASS OPTION...
    name=$1 class=$2
    shift 2
    home=$(java_home)
    "$home/bin/javac" -d "$built/.java" "$source/Peer.java" "$source/$class.java" &&
        wrapper "$name" "$home/bin/java" -XX:+UseSerialGC "$@" -cp "$built/.java" "$class"
}

in_python() { # NAME
    "$(python_of)" -c "import $1" && wrapper "$1" "$(python_of)" "$source/$1_peer.py"
}

# Debian's modules belong to Debian's interpreter.
python_of() { ls /usr/bin/python3 2>/dev/null || command -v python3; }

wrapper() { # NAME COMMAND...
    name=$1
    shift
    printf '#!/bin/sh\nexec' >"$built/$name"
    printf " '%s'" "$@" >>"$built/$name"
    printf ' "$@"\n' >>"$built/$name"
    chmod +x "$built/$name"
}

in_glib() {
    # shellcheck disable=SC2046
    in_c glib $(pkg-config --cflags --libs gio-2.0)
}

peer libuv libuv1-dev in_c libuv -luv
peer glib "libglib2.0-dev pkg-config" in_glib
peer libev libev-dev in_c libev -lev
peer state_threads libst-dev in_c state_threads -lst
peer asio "libboost-dev g++" in_cxx asio
peer fiber "libboost-fiber-dev libboost-context-dev g++" in_cxx fiber -lboost_fiber -lboost_context
peer go golang-go in_go
peer tokio "librust-tokio-dev librust-smol-dev cargo rustc" in_rust tokio
peer smol "librust-tokio-dev librust-smol-dev cargo rustc" in_rust smol
peer java default-jdk-headless in_java java Java
if [ "$(java_version "$(java_home)/bin/javac")" -ge 21 ] 2>/dev/null; then
    peer java_virtual default-jdk-headless in_java java_virtual JavaVirtual \
        -Djdk.virtualThreadScheduler.parallelism=1
else
    left_out java_virtual "needs Java 21"
fi
peer asyncio python3 in_python asyncio
peer anyio python3-anyio in_python anyio
