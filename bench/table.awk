# SPDX-License-Identifier: MIT
# bench.tsv, then sides.tsv, as tables for people: first the rows, then all peers.
function show(figure)
{
    if (figure == "-" || figure == "")
        return "-"
    if (figure >= 100 || figure <= -100)
        return sprintf("%.0f", figure)
    return sprintf(figure >= 10 ? "%.1f" : figure >= 0.1 || figure <= 0 ? "%.2f" : "%.3f", figure)
}
BEGIN { FS = "\t" }
FNR == 1 { file++ }
NR == 1 {
    print machine ", " cores " processors.  Medians; sides take turns.  ns, bytes, ms: less"
    print "is better; k/s, M/s: more is.  Spread: least and most of ours.  Others: processor time"
    print "other processes took meanwhile, in percent of one core; +n: so many repetitions were taken"
    print "again, !n: so many were kept although disturbed."
    print ""
    printf "%-29s %-5s %9s %9s %21s %9s %7s %7s %7s %17s  %-28s %-4s %s\n", "work", "unit",
            "ours", "by hand", "best peer", "floor", "/hand", "/best", "/floor", "spread",
            "target (limit)", "met?", "others"
    next
}
FNR == 1 { next }
file == 1 && $1 ~ /^W/ {
    aside = $2 !~ /^W[0-9]/
    spread = $9 == "-" || aside ? "-" : show($9) "-" show($10)
    target = $12 == "-" ? "-" : $12 > 1e9 || $11 + 0 == $12 ? $11 : $11 " (" show($12) ")"
    others = aside ? "" : $14 "%" ($15 > 0 ? " +" $15 : "") ($16 > 0 ? " !" $16 : "")
    best = $17 == "-" ? "-" : $17 " " show($18)
    printf "%-29s %-5s %9s %9s %21s %9s %7s %7s %7s %17s  %-28s %-4s %s\n",
            aside ? "  against " $2 : $2, $3, show($4), show($5), best, show($6), show($7),
            show($19), show($8), spread, target, aside ? "" : $13, others
    if (!aside) {
        work[$1] = $2
        unit[$1] = $3
        ours[$1] = $4
        keys[++key_count] = $1
    }
    met += $13 == "yes"
    missed += $13 == "NO"
}
file == 2 && $1 in work && $2 !~ /^(ours|by_hand|floor|other)$/ {
    if (!($2 in seen)) {
        seen[$2] = 1
        peers[++peer_count] = $2
    }
    median[$1, $2] = $4
    has[$1] = 1
}
END {
    print ""
    print met + 0 " targets met, " missed + 0 " missed"
    if (peer_count == 0)
        exit
    printf "\n%-29s %-5s %9s", "all peers", "unit", "ours"
    for (i = 1; i <= peer_count; i++)
        printf " %9s", substr(peers[i], 1, 9)
    print ""
    for (k = 1; k <= key_count; k++) {
        key = keys[k]
        if (!(key in has))
            continue
        printf "%-29s %-5s %9s", work[key], unit[key], show(ours[key])
        for (i = 1; i <= peer_count; i++)
            printf " %9s", show(median[key, peers[i]])
        print ""
    }
}
