# SPDX-License-Identifier: MIT
# The points of the scale's curves (bench_scale.c, bench_contention.c, and the callers of
# bench_curves.c) as a table, from what the programs printed.  A figure is the median over the rounds of the medians of each.
function show(figure)
{
    if (figure == "")
        return "-"
    return sprintf(figure >= 100 ? "%.0f" : figure >= 10 ? "%.1f" : "%.2f", figure)
}
# The median of what was said of one side of one point; "" if nothing was.
function median(key, side, n, i, j, swap, list)
{
    n = said[key, side]
    for (i = 1; i <= n; i++)
        list[i] = figures[key, side, i]
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
            swap = list[j]
            list[j] = list[j - 1]
            list[j - 1] = swap
        }
    return n == 0 ? "" : n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
# How many times the figure of a thousand it is; a thousand is where an amount begins to count.
function ratio(family, key, side, one, thousand)
{
    one = median(key, side)
    thousand = median(family "-1000", side)
    return one == "" || thousand == "" || thousand <= 0 ? "" : one / thousand
}
function flat(family, number, times)
{
    if (family !~ /(tasks|submit|live)$/ || number <= 1000 || times == "")
        return "-"
    return times <= 1.2 ? "yes" : "NO"
}
BEGIN {
    FS = "\t"
    what["scale-tasks"] = "tasks at once, in a coroutine"
    what["scale-live"] = "stacks at once, in a coroutine"
    what["scale-submit"] = "tasks at once, from a thread"
    what["scale-executors"] = "executors, 8 callers"
    what["scale-payload"] = "bytes there and back"
    what["callers"] = "callers"
    what["contention"] = "threads that push, one mailbox"
    what["shards"] = "mailboxes, 16 threads that push"
    what["handover"] = "cores: a line to the other"
    order = split("scale-tasks scale-live scale-submit scale-payload callers scale-executors" \
            " contention shards handover", families, " ")
}
# A row says twice how many of its repetitions were disturbed if it has an other side with a name.
$1 == "row" && $4 ~ /^[a-z]/ && $2 != last_row { disturbed[$2] += $17 }
$1 == "row" { last_row = $2 }
$1 == "side" && match($2, /-[0-9]+$/) {
    family = substr($2, 1, RSTART - 1)
    if (!(family in what))
        next
    if (!(($2, "seen") in said))
        points[family, ++point_count[family]] = substr($2, RSTART + 1)
    said[$2, "seen"] = 1
    unit[family] = $4
    figures[$2, $3, ++said[$2, $3]] = $5
}
END {
    if (machine != "")
        print machine ", " cores " processors\n"
    printf "%-31s %8s %-5s %9s %9s %9s %8s %8s %8s  %-5s  %s\n", "amount", "", "unit", "ours",
            "by hand", "floor", "of 1000", "by hand", "floor", "flat?", "disturbed"
    for (f = 1; f <= order; f++)
        for (i = 1; i <= point_count[families[f]]; i++) {
            family = families[f]
            number = points[family, i]
            key = family "-" number
            times = ratio(family, key, "ours")
            printf "%-31s %8s %-5s %9s %9s %9s %8s %8s %8s  %-5s  %s\n", what[family], number,
                    unit[family], show(median(key, "ours")), show(median(key, "by_hand")),
                    show(median(key, "floor")), show(times), show(ratio(family, key, "by_hand")),
                    show(ratio(family, key, "floor")), flat(family, number, times),
                    disturbed[key] ? "!" disturbed[key] : "-"
        }
    print ""
    print "of 1000: how many times the cost with a thousand.  flat: at most 1.2 times that."
    print "!n: so many repetitions were kept although other processes disturbed them: do not trust it."
}
