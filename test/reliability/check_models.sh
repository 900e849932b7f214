#!/bin/sh
# SPDX-License-Identifier: MIT
# R2, R3: models of the protocols that everything rests on, in test/models, searched through.
#
#   *.pml     Spin: all states of the mailbox with its park, the doorbell, a future's cell, with the
#             store queues of x86 (tso.pml); SC leaves these out
#   *.cpp     Relacy: the same in C11's memory, with the orders of the sources (steps.hpp); queue.c is
#             the mailbox once more for checkers from outside, and run here as an ordinary program
#
# Each step of a model has the label of the access it stands for and its order.  They are compared
# with the sources: an order that changes here or there, or an access no model has, fails.  Bugs are
# planted, and orders weakened, to see that they are found; models/waived tells which weaker orders
# are not.
. "${0%/*}/check.sh"
models=test/models
sources=$(ls lib/thread/mailbox.[ch] lib/thread/waiter.[ch] lib/thread/cell.[ch] \
    lib/thread/doorbell.[ch] lib/thread/refs.h)
# A hint (M5, C13); memory that one thread knows (C12, R1, R2, R4); a chain for signal handlers (C11);
# what who is refused by a closed mailbox sees of those who used it (M3: test/test_port_refused.c).
not_modelled="M3 M5 C13 C12 R1 R2 R4 C11"

# --- labels and orders -------------------------------------------------------------------------
accesses() { awk -f $models/accesses.awk "$@" | cut -d ' ' -f 3- | sort -u; }
accesses $sources >"$work/sources"
accesses $models/*.pml $models/*.cpp $models/queue.c >"$work/models"
comm -13 "$work/sources" "$work/models" | sed 's/$/: in a model, not so in the sources/' >"$work/differ"
for label in $not_modelled; do
    grep "^$label " "$work/sources"
done | sort -u >"$work/left_out"
comm -23 "$work/sources" "$work/models" | comm -23 - "$work/left_out" |
    sed 's/$/: in the sources, in no model/' >>"$work/differ"
# Each kind of model has what it is about.
for each in "mailbox.pml M1,M2 M2 M4 M6 M7 D3 D4" "cell.pml C3 C2,C3 C4 C5 C6 C7 C8 W1,W2 W2 W3 W4 W5" \
    "doorbell.pml M1,M2 M4 M6 D1 D2 D3 D4" "mailbox.cpp M1,M2 M2 M4 M6 M7 D1 D2 D3 D4" \
    "cell.cpp C3 C2,C3 C4 C5 C6 C7 C8 W1,W2 W2 W3 W4 W5" "queue.c M1,M2 M2 M4 M6 M7 D1 D2 D3 D4"; do
    set -- $each
    accesses $models/"$1" >"$work/one"
    [ "$1" != doorbell.pml ] || echo "D2 store relaxed" >>"$work/one" # in a macro there
    file=$1
    shift
    for label in "$@"; do
        grep -q "^$label " "$work/one" || echo "$label: not in $file" >>"$work/differ"
    done
done
cat "$work/differ"
same=$(comm -12 "$work/sources" "$work/models" | wc -l)
[ ! -s "$work/differ" ] && [ "$same" -ge 30 ]
line R3 "$same" "all that are modelled" "labelled accesses with the same order in sources and models" $?

# --- Spin --------------------------------------------------------------------------------------
states=0 spin_failed=0 found=0 planted=0

# Search MODEL with these definitions to the end; its states are counted.  Fails if anything is
# found.
search() {
    model=$1
    shift
    case $* in
    *LIVE*) build='-DNFAIR=4' how='-a -f' ;;
    *) build=-DSAFETY how= ;;
    esac
    rm -rf "$work/spin"
    mkdir -p "$work/spin"
    cp $models/*.pml "$work/spin"
    (cd "$work/spin" && spin -a "$@" "$model.pml" &&
        gcc -O2 -w $build -DVECTORSZ=4096 -DMEMLIM=8000 -DCOLLAPSE -o pan pan.c) \
        >>"$log" 2>&1 || broken "$model.pml does not build"
    LIMIT=$(pick 300 3000) run_quietly env -C "$work/spin" ./pan -m2000000 $how
    # A search that did not come to its end has proved nothing.
    grep -q 'errors: 0$' "$work/said" && ! grep -qE 'max search depth|out of memory|aborting' "$work/said"
}

# As run, for what is meant to find something: no output on failure.
run_quietly() {
    timeout -k 10 "$LIMIT" "$@" >"$work/said" 2>&1 </dev/null
    status=$?
    { echo "$*"; head -c 4000 "$work/said"; tail -n 2 "$work/said"; } >>"$log"
}

proves() {
    if search "$@"; then
        states=$((states + $(said '[0-9.e+]+ states, stored' | awk '{ printf "%d", $1 }')))
    else
        spin_failed=1
        echo "found by $*:"
        head -n 20 "$work/said"
    fi
}

finds() {
    planted=$((planted + 1))
    if search "$@"; then
        echo "not found: $*"
    elif grep -q '^pan:1: ' "$work/said"; then
        found=$((found + 1))
    fi
}

proves mailbox -DPRODUCERS=2 -DLETTERS=2
proves mailbox -DPRODUCERS=3 -DLETTERS=1
proves mailbox -DPRODUCERS=2 -DLETTERS=1 -DLIVE
proves doorbell -DRINGERS=2 -DPUSHES=2 -DTIMERS=2
proves doorbell -DRINGERS=3 -DPUSHES=1 -DTIMERS=2
proves doorbell -DRINGERS=2 -DPUSHES=1 -DTIMERS=1 -DLIVE
proves cell -DWAITERS=2
if [ "$MODE" = full ]; then
    proves cell -DWAITERS=2 -DLIVE
    proves cell -DWAITERS=3 -DSC
    proves mailbox -DPRODUCERS=3 -DLETTERS=2 -DSC
    proves doorbell -DRINGERS=3 -DPUSHES=2 -DTIMERS=1 -DSC
fi
[ $spin_failed -eq 0 ] && [ "$states" -ge "$(pick 1600000 30000000)" ]
line R2 "$states" "$(pick '1,600,000' '30,000,000')" \
    "states of mailbox, doorbell, cell: all there are, 0 errors, and all submitted is run" $?

for number in 1 2 3 4 5; do
    finds mailbox -DPRODUCERS=2 -DLETTERS=1 -DBUG=$number
done
for number in 1 2 3 4; do
    finds doorbell -DRINGERS=2 -DPUSHES=2 -DTIMERS=1 -DBUG=$number
done
for number in 1 2 3 4 5 6; do
    finds cell -DWAITERS=2 -DBUG=$number
done
# The flag beside the mailbox is right with a fence: so it was the fence that was missed.
proves mailbox -DPRODUCERS=2 -DLETTERS=1 -DBUG=2 -DFENCE
[ $found -eq $planted ] && [ $spin_failed -eq 0 ]
line R2 "$found of $planted" "all" "planted bugs found by the models (Spin)" $?

# --- Relacy ------------------------------------------------------------------------------------
relacy() { # NAME SOURCE FLAGS...
    made=$1 source=$2
    shift 2
    g++ -O2 -std=c++11 -w -I$models "$@" $models/"$source".cpp -o "$work/$made" >>"$log" 2>&1 ||
        broken "$source.cpp does not build"
}

runs=0 bound=0 relacy_failed=0
explores() { # COUNTER MODEL WORDS...
    counter=$1 model=$2
    shift 2
    LIMIT=$(pick 300 3000) run "$work/$model" "$@"
    [ "$status" -eq 0 ] || relacy_failed=1
    eval "$counter=\$((\$$counter + $(said '^[0-9]+ runs' | cut -d ' ' -f 1)))"
}

relacy mailbox mailbox
relacy mailbox3 mailbox -DPRODUCERS=3
relacy cell cell
relacy waits cell -DPRESENT=1
relacy leaves cell -DPRESENT=2
most=$(pick 5000000 50000000)
explores runs mailbox random "$((most / 2))"
explores runs mailbox3 random "$((most / 2))"
explores runs cell random "$most"
[ $relacy_failed -eq 0 ] && [ $runs -ge $((2 * most)) ]
line R3 "$runs" "$(pick '10,000,000' '100,000,000')" "interleavings in C11's memory, by chance" $?

relacy_failed=0
explores bound mailbox bound 4
explores bound waits bound 4
explores bound leaves bound 4
explores bound cell bound "$(pick 2 4)"
[ "$MODE" = ci ] || explores bound mailbox3 bound 3
[ $relacy_failed -eq 0 ] && [ $bound -gt 0 ]
line R3 "$bound" "all" "interleavings with at most 4 preemptions$(pick ' (3 threads at a cell: 2)' '')" $?

found=0 planted=0 known=0
weaken() { # MODEL RUNS: each labelled access of it, one step weaker
    awk -f $models/accesses.awk $models/"$1".cpp >"$work/list"
    while read -r file number label kind order; do
        case $order in
        acq_rel*) weaker="acquire release" ;;
        acquire* | release*) weaker=relaxed ;;
        *) weaker= ;;
        esac
        case $order in *,acquire) weaker="$weaker failure" ;; esac
        for to in $weaker; do
            if grep -q "^$1 $label $order $to " $models/waived; then
                known=$((known + 1))
                continue
            fi
            planted=$((planted + 1))
            LIMIT=120 run_quietly "$work/$1" weaker "$number" "$to" "$2"
            [ "$status" -ne 1 ] && echo "not found: $1 $label $kind $order -> $to" && continue
            found=$((found + 1))
        done
    done <"$work/list"
    for number in $3; do
        planted=$((planted + 1))
        LIMIT=120 run_quietly "$work/$1" bug "$number" "$2"
        [ "$status" -eq 1 ] && found=$((found + 1)) || echo "not found: $1, bug $number"
    done
}
weaken mailbox 500000 "1 2 3 4"
weaken cell 2000000 "1 2 3 4 5"
[ $found -eq $planted ] && [ $planted -ge 25 ]
line R3 "$found of $planted" "all" "weaker orders and planted bugs found ($known known to do no harm)" $?

# --- the plain file ----------------------------------------------------------------------------
rounds=$(pick 20000 500000)
gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -Wall -Wextra -Werror -pthread $models/queue.c \
    -o "$work/once" >>"$log" 2>&1 && "$work/once" || broken "queue.c"
gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -pthread -DROUNDS="$rounds" -DPRODUCERS=3 -DLETTERS=20 \
    $models/queue.c -o "$work/queue" >>"$log" 2>&1 || broken "queue.c"
LIMIT=3000 run "$work/queue"
line R3 "$(said '[0-9]+ letters')" "no failure" "queue.c, the queue for outside checkers, as a stress" \
    "$status"
finish
