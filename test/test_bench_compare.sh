#!/bin/sh
# SPDX-License-Identifier: MIT
# bench/compare names what became worse beyond the noise, and nothing else.  TAP on standard output.
set -u
cd "$(dirname "$0")/.." || exit 2
. test/tap.sh
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# table FILE LINE...: LINE is "key unit ours by_hand min max".
table() {
    file=$work/$1
    shift
    printf 'key\twork\tunit\tours\tby_hand\tfloor\tours/by_hand\tours/floor\tmin\tmax\n' >"$file"
    for line in "$@"; do
        # shellcheck disable=SC2086  # fields
        set -- $line
        printf '%s\t%s work\t%s\t%s\t%s\t-\t-\t-\t%s\t%s\n' \
            "$1" "$1" "$2" "$3" "$4" "$5" "$6" >>"$file"
    done
}

# says NAME PATTERN, says_not NAME PATTERN: compare's exit status is 0, and a line matches, or none.
compare() { bench/compare "$work/old" "$work/new" >"$work/said" 2>&1; }
says() { compare && grep -q "$2" "$work/said"; report $? "$1"; }
says_not() { compare && ! grep -q "$2" "$work/said"; report $? "$1"; }

table old "W4 ns 50 80 48 52"
table new "W4 ns 75 80 73 78"
says "slower beyond both spreads is worse" "^WORSE *W4: 75 ns, was 50 (+50 %)"
says "the rows are counted" "^1 rows compared: 1 worse, 0 better$"

table new "W4 ns 30 80 28 33"
says "faster is better" "^better *W4: "
says_not "faster is not worse" "^WORSE"

table new "W4 ns 75 80 49 78"
says_not "the old median within the new spread is noise" "W4:"
table old "W4 ns 50 80 48 79"
table new "W4 ns 75 80 73 78"
says_not "the new median within the old spread is noise" "W4:"

table old "W4 ns 50 80 49.9 50.1"
table new "W4 ns 54 80 53.9 54.1"
says_not "less than 10 percent is nothing" "W4:"
PERCENT=5 bench/compare "$work/old" "$work/new" >"$work/said"
grep -q "^WORSE *W4" "$work/said"
report $? "PERCENT sets another limit"

table old "W3 M/s 20 10 19 21"
table new "W3 M/s 10 10 9 11"
says "fewer a second is worse" "^WORSE *W3: 10 M/s"
table new "W3 M/s 40 10 39 41"
says "more a second is better" "^better *W3: "

table old "W4 ns 50 80 48 52"
table new "W4 ns 75 110 73 78"
says "by hand slower, too, is said" "W4: .*by hand +38 %, too: perhaps the machine"
table new "W4 ns 75 85 73 78"
says_not "by hand hardly slower is not" "by hand"

table old "W4 ns 50 80 48 52" "W5 ns 9 9 8 10"
table new "W4 ns 50 80 48 52" "W7 ns 9 9 8 10"
says "a row that is gone is named" "^gone *W5$"
says "a new row is named" "^new *W7$"
table new "W4 ns 50 80 48 52" "W5 ns - 9 - -"
says "a row that could not be measured is gone" "^gone *W5$"

table old "W4 ns 50 80 48 52"
table new "W4 ns 50 80 48 52"
says "nothing changed" "^1 rows compared: 0 worse, 0 better$"

bad() { # name, old, new
    bench/compare "$2" "$3" >"$work/said" 2>&1
    [ $? -eq 2 ] && grep -q "no table of make bench" "$work/said"
    report $? "$1"
}
bad "a file that is not there is an error" "$work/none" "$work/new"
echo "key work" >"$work/bad"
bad "a file of another kind is an error" "$work/old" "$work/bad"
table empty
bad "a table without rows is an error" "$work/old" "$work/empty"

echo "1..$number"
[ "$failed" -eq 0 ]
