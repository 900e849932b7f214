#!/bin/sh
# SPDX-License-Identifier: MIT
# Plant each bug of the file plants (or those whose names are given) in a copy of the tree, and see
# whether who has to find it does.  Ends in "N bugs planted, N found".
#
#   plants.sh WORK [NAME...]       WORK/tree is the copy
set -u
work=$1
shift
table=test/reliability/canaries/plants
tree=$work/tree
mkdir -p "$tree"
top=$PWD
work=$top/$work
for part in lib include test Makefile; do
    rm -rf "${tree:?}/$part"
    cp -rp "$part" "$tree/$part"
done
# What is built already need not be built once more.
for kind in virtual-races gcc gcc-address gcc-helgrind clang-thread; do
    [ ! -e "build/$kind/libanysync.a" ] && [ ! -e "build/$kind/virtual" ] && continue
    mkdir -p "$tree/build/$kind/test"
    for part in lib machine virtual virtual.o libanysync.a test/virtual test/harness.o test/fault.o; do
        [ ! -e "build/$kind/$part" ] || cp -rp "build/$kind/$part" "$tree/build/$kind/$(dirname $part)/"
    done
done
cd "$tree" || exit 2
export TEST_SCALE=5 WERROR=
unset MAKEFLAGS

# Whether the bug that is in the tree is found by $1, with $2 and $3; says how.
found_by() {
    case $1 in
    virtual)
        make -s VIRTUAL=races build/virtual-races/virtual >"$work/plant.log" 2>&1 ||
            { echo "does not build" && return 1; }
        for orders in "--most 20000" "--random 4000 --rank 2000"; do
            # shellcheck disable=SC2086  # several words on purpose
            timeout 120 build/virtual-races/virtual $orders "$2" >"$work/plant.log" 2>&1 && continue
            grep -vE -- '--replay|ok$|not all$|^$' "$work/plant.log" | head -n 1
            # It has to be the scene that failed.
            grep -q "FAILED\|scenes failed" "$work/plant.log"
            return
        done
        return 1
        ;;
    test)
        kind="CC=clang SAN=thread"
        [ "$2" = tsan ] || kind="SAN=address"
        # shellcheck disable=SC2086
        place=$(make -s $kind print-build)
        # shellcheck disable=SC2086
        make -s $kind "$place/test/$3" >"$work/plant.log" 2>&1 ||
            { echo "does not build" && return 1; }
        timeout 200 "$place/test/$3" >"$work/plant.log" 2>&1 && return 1
        grep -E 'SUMMARY' "$work/plant.log" | head -n 1
        return 0
        ;;
    correct | blind)
        sh test/reliability/canaries/build.sh "$work/planted" "$2" >"$work/plant.log" 2>&1 ||
            { echo "does not build" && return 1; }
        tools=$2 sh test/reliability/canaries/matrix.sh "$work/planted" "${3:-none}" \
            >"$work/plant.log" 2>&1 && return 1
        head -n 1 "$work/plant.log" | tr '\t' ' '
        return 0
        ;;
    esac
}

planted=0 found=0
while IFS='|' read -r name who file edit; do
    name=${name% } who=$(echo "$who" | tr -d ' ') file=$(echo "$file" | tr -d ' ') edit=${edit# }
    case $name in '#'* | '') continue ;; esac
    case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
    planted=$((planted + 1))
    sed "$edit" "$top/$file" >"$file"
    if cmp -s "$file" "$top/$file"; then
        echo "$name: $file has no such place any more"
    elif how=$(found_by $(echo "$who" | tr ':' ' ')); then
        found=$((found + 1))
        printf '%s\t%s\tfound\t%s\n' "$name" "$who" "$how"
    else
        printf '%s\t%s\tNOT FOUND\t%s\n' "$name" "$who" "$how"
    fi
    cp "$top/$file" "$file" # newer than what was built with the bug
done <"$top/$table"
echo "$planted bugs planted, $found found"
[ $planted -eq $found ]
